-- KEYS: one that nothing is stored under, then the one to remove.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local deadline, old = tonumber(ARGV[1]), ARGV[2]
if now > deadline then
  return {now, 0}
end
-- Fails on a replica.
redis.call('DEL', KEYS[1])
local stored = redis.call('GET', KEYS[2])
if stored and redis.call('PTTL', KEYS[2]) >= 0 and '=' .. stored:sub(17) == old then
  redis.call('DEL', KEYS[2])
  return {now, 1}
end
return {now, 0}
