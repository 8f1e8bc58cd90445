-- Fails on a replica, such as a primary that was demoted: its entries may be old.
redis.call('DEL', KEYS[1])
local found = redis.call('TIME')
for i = 2, #KEYS do
  found[2 * i - 1] = redis.call('GET', KEYS[i])
  found[2 * i] = redis.call('PTTL', KEYS[i])
end
return found
