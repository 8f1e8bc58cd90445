local now = redis.call('TIME')
local deadline, is_again, old = ARGV[1], ARGV[2], ARGV[3]
if now[1] * 1000000 + now[2] > tonumber(deadline) then
  return {now[1], now[2], 'late'}
end
local stored = redis.call('GET', KEYS[1])
if stored and redis.call('PTTL', KEYS[1]) >= 0 and '=' .. stored == old then
  redis.call('DEL', KEYS[1])
  return {now[1], now[2], 'done'}
end
return {now[1], now[2], 'other'}
