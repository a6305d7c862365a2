-- KEYS reserved, quarantine
-- ARGV reserved payload, {token, why}, payload as it was popped
-- Reply 1, or 0 when the reservation is somebody else's.
local told = cjson.decode(ARGV[2])

if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('RPUSH', KEYS[2], told.token .. '\n' .. told.why .. '\n' .. ARGV[3])
return 1
