-- KEYS reserved, delayed
-- ARGV reserved payload, {horizon, id, delay (seconds)}
-- Reply 1, or 0 when the reservation is somebody else's: a late release would make a second copy.
local payload, told = ARGV[1], cjson.decode(ARGV[2])

if redis.call('ZREM', KEYS[1], payload) == 0 then return 0 end
redis.call('ZADD', KEYS[2], now + told.delay, payload)
if told.horizon ~= '' then
  record(told, told.id, 'status', 'pending', 'payload', payload, 'updated_at', stamp)
end
return 1
