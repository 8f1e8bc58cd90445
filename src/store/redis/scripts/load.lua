-- KEYS: one that nothing is stored under, then those to load.
-- Fails on a replica, such as a primary that was demoted: what it has may be old.
redis.call('DEL', KEYS[1])
local time, found = redis.call('TIME'), {}
for i = 2, #KEYS do
  table.insert(found, redis.call('GET', KEYS[i]))
  table.insert(found, redis.call('PTTL', KEYS[i]))
end
return {time[1] * 1000000 + time[2], found}
