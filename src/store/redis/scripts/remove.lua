-- KEYS: one that nothing is stored under, then the one to remove.
local now = redis.call('TIME')
local deadline, old = ARGV[1], ARGV[2]
if now[1] * 1000000 + now[2] > tonumber(deadline) then
  return {now[1], now[2], 'late'}
end
-- Fails on a replica.
redis.call('DEL', KEYS[1])
local stored = redis.call('GET', KEYS[2])
if stored and redis.call('PTTL', KEYS[2]) >= 0 and '=' .. stored:sub(17) == old then
  redis.call('DEL', KEYS[2])
  return {now[1], now[2], 'done'}
end
return {now[1], now[2], 'other'}
