-- KEYS ready, notify, delayed, sent (a key that remembers this dispatch)
-- ARGV payload, {horizon, delay, remember (seconds), and a job, see announce}
-- Sent twice, for example after a lost reply, it is queued once. Reply 1, or 0 for the second time.
local told = cjson.decode(ARGV[2])

if told.remember > 0 and not redis.call('SET', KEYS[4], 1, 'NX', 'EX', told.remember) then return 0 end
announce(told, told, ARGV[1])
if told.delay > 0 then
  redis.call('ZADD', KEYS[3], now + told.delay, ARGV[1])
else
  push(KEYS[1], KEYS[2], ARGV[1])
end
return 1
