-- KEYS: one that nothing is stored under, then those to load.
-- Fails on a replica, such as a primary that was demoted: what it has may be old.
redis.call('DEL', KEYS[1])
local found = redis.call('TIME')
for i = 2, #KEYS do
  found[2 * i - 1] = redis.call('GET', KEYS[i])
  found[2 * i] = redis.call('PTTL', KEYS[i])
end
return found
