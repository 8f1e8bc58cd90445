-- KEYS: one that nothing is stored under, then the one to write. What is stored begins with a mark of 16 bytes.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local deadline, old, mark, new, life = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if now > deadline then
  return {now, 0}
end
local stored = redis.call('GET', KEYS[2])
-- What has no life is not ours.
if stored and redis.call('PTTL', KEYS[2]) < 0 then
  stored = false
end
if (stored and '=' .. stored:sub(17) or '') == old then
  redis.call('SET', KEYS[2], mark .. new, 'PX', life)
elseif not stored or stored:sub(1, 16) ~= mark then
  -- Fails on a replica. Not before SET: on a full server, only the first command that writes is refused.
  redis.call('DEL', KEYS[1])
  return {now, 0}
end
-- Now, or by this write when it was sent before.
return {now, 1}
