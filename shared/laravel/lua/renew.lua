-- KEYS reserved
-- ARGV reserved payload, {seconds}
-- Reply 1, or 0 when the reservation is somebody else's.
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], 'XX', now + cjson.decode(ARGV[2]).seconds, ARGV[1])
return 1
