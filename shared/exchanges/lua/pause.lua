-- Nobody asks for a while: from this address, or for this account (KEYS[2]). A longer pause stays.
-- KEYS state, mark of an account (optional)
-- ARGV ms
local ms = tonumber(ARGV[1])
known.throttled = known.throttled + 1
if KEYS[2] then
  if redis.call('PTTL', KEYS[2]) < ms then redis.call('SET', KEYS[2], 1, 'PX', ms) end
else
  known.paused = math.max(known.paused, now + ms)
end
keep()
