-- KEYS state, list of the address
-- ARGV window_ms
-- Reply {used, under way, ms of the pause left, requests, spent, throttled}
local window_ms = tonumber(ARGV[1])
roll(window_ms)
local listed = 0
for _, at in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
  if tonumber(at) > now - window_ms then listed = listed + 1 end
end
return {used() + listed, known.out + known.before, math.max(0, known.paused - now), known.requests,
  known.spent, known.throttled}
