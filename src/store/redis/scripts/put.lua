local now = redis.call('TIME')
local deadline, is_again, old, new, life = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if now[1] * 1000000 + now[2] > tonumber(deadline) then
  return {now[1], now[2], 'late'}
end
local stored = redis.call('GET', KEYS[1])
-- What has no life is not ours.
if not stored or redis.call('PTTL', KEYS[1]) < 0 then
  stored = ''
else
  stored = '=' .. stored
end
if stored == old then
  redis.call('SET', KEYS[1], new, 'PX', life)
elseif is_again == '0' or stored ~= '=' .. new then
  return {now[1], now[2], 'other'}
end
return {now[1], now[2], 'done'}
