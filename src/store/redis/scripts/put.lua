-- KEYS: one that nothing is stored under, then the one to write.
local now = redis.call('TIME')
local deadline, is_again, old, new, life = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if now[1] * 1000000 + now[2] > tonumber(deadline) then
  return {now[1], now[2], 'late'}
end
local stored = redis.call('GET', KEYS[2])
-- What has no life is not ours.
if not stored or redis.call('PTTL', KEYS[2]) < 0 then
  stored = ''
else
  stored = '=' .. stored
end
if stored == old then
  redis.call('SET', KEYS[2], new, 'PX', life)
elseif is_again == '0' or stored ~= '=' .. new then
  -- Fails on a replica. Not before SET: on a full server, only the first command that writes is refused.
  redis.call('DEL', KEYS[1])
  return {now[1], now[2], 'other'}
end
return {now[1], now[2], 'done'}
