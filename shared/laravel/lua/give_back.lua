-- KEYS reserved, ready, notify, held
-- ARGV reserved payload, {horizon, id, held}, payload as it was popped
-- The job was not tried: it returns to the head of the queue and no attempt is counted.
-- Reply 1, or 0 when the reservation is somebody else's. A held job that has gone back meanwhile may
-- be reserved again, as the very same string: only its hold says whose it is.
local told = cjson.decode(ARGV[2])

if redis.call('ZREM', KEYS[4], hold(ARGV[1], ARGV[3])) == 0 and told.held then return 0 end
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[3])
redis.call('RPUSH', KEYS[3], 1)
if told.horizon ~= '' and told.id then
  record(told, told.id, 'status', 'pending', 'payload', ARGV[3], 'updated_at', stamp)
end
return 1
