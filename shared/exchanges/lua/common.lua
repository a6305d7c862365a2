-- Before every script. KEYS[1] is a hash: what is known of one address at one venue.
--   offset, doubt    the venue's clock minus that of Redis, and by how much that may be wrong (ms)
--   paused           until when nobody may ask (ms)
--   window           number of the venue's window that the following are about:
--   counted          used so far, as the venue's answers say; weight it told nothing about is added
--   crossed          weight asked for in the window before and answered in this one. Whether a figure
--                    holds it is not known, whichever was answered first: it stands beside them
--   out, before      weight under way, asked for in this window, and before or near its beginning
--   low              what backfills have had
--   closing          weight answered so late that the next window may have been charged
--   last             what the window before had used
--   requests, spent, throttled   since the key was made, for metrics
-- All times are the venue's, in milliseconds.
local KEPT_MS = 86400000
local GUARD_MS = 50

local names = {'offset', 'doubt', 'paused', 'window', 'counted', 'crossed', 'out', 'before', 'low',
  'closing', 'last', 'requests', 'spent', 'throttled'}
local known = {}
for place, value in ipairs(redis.call('HMGET', KEYS[1], unpack(names))) do
  known[names[place]] = tonumber(value or 0)
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) + known.offset

local function keep()
  local pairs_of = {}
  for _, name in ipairs(names) do
    pairs_of[#pairs_of + 1] = name
    pairs_of[#pairs_of + 1] = string.format('%.0f', known[name])
  end
  redis.call('HSET', KEYS[1], unpack(pairs_of))
  redis.call('PEXPIRE', KEYS[1], math.max(KEPT_MS, known.paused - now))
end

-- Upper bound of what the venue has counted, or will, in this window.
local function used()
  return known.counted + known.crossed + known.out + known.before
end

-- Into the window of this moment. A clock set back by less than a window waits for its old one.
local function roll(window_ms)
  local window = math.floor(now / window_ms)
  local passed = window - known.window
  if passed == 0 or passed == -1 then return end
  local adjoining = passed == 1
  known.last = adjoining and used() or 0
  known.before = adjoining and known.out or 0
  -- What was answered before this window began is in every figure of a request of this window.
  known.counted = adjoining and known.closing or 0
  known.window, known.crossed, known.out, known.low, known.closing = window, 0, 0, 0, 0
end
