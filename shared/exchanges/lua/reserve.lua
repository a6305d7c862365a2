-- What came back makes room, then what is wanted takes it, first come first served.
-- KEYS state, list of the address (venues that tell no weight), then lists and marks of accounts
-- ARGV one text of numbers, because every argument costs a client more than a number in a text:
--   per_window, window_ms, kept (weight that only orders may use), returns, wants; then
--   for each return {window, weight, of it sent, of that told nothing about, the venue's figure (-1: none)};
--   for each want {weight, priority (0 order, 1 fresh, 2 backfill), limits}, and
--     for each of its limits {key, most, ms}: at most that many in any such time; most 0: a mark that
--     shuts this account out while it is there.
-- Reply {window to return with, wait, wait, ...}, ms for each want: 0 granted; above, the whole address
--   must wait, and every later want with it (1: for what is under way); below, this account alone.
local numbers, place = {}, 0
for number in string.gmatch(ARGV[1], '%S+') do numbers[#numbers + 1] = tonumber(number) end

local function taken(count)
  place = place + count
  return unpack(numbers, place - count + 1, place)
end

local per_window, window_ms, kept, returns, wants = taken(5)
roll(window_ms)
-- Near a boundary a request may be counted on either side, and a clock may be a little wrong: the
-- venue's figure is then believed of neither, and one window is not filled twice.
local guard = math.max(math.min(GUARD_MS, window_ms / 20), math.min(known.doubt, window_ms / 4))
local elapsed = now - known.window * window_ms
local opening, closing = elapsed < guard, elapsed > window_ms - guard

-- When more than a window has passed, what comes back says nothing any more.
local function give_back(window, weight, sent, untold, counted)
  if window == known.window then
    known.out = math.max(0, known.out - weight)
    known.counted = math.max(known.counted, counted) + untold
    if closing then known.closing = known.closing + sent end
  elseif window == known.window - 1 then
    known.before = math.max(0, known.before - weight)
    known.crossed = known.crossed + sent
  end
end

-- The share of backfills grows with the window: they take what the others leave, and a tenth.
local function wait_of_backfill(weight, most)
  local ramp = 0.9 * window_ms
  local needed = math.min(used() + weight, 10 * (known.low + weight)) / most * ramp
  return math.min(needed, window_ms) - elapsed
end

local function wait_for_window(weight, priority)
  if per_window == 0 then return 0 end
  local most = priority == 0 and per_window or per_window - kept
  weight = math.min(weight, most)
  if known.counted + known.crossed + weight > most then return window_ms - elapsed + guard end
  if used() + weight > most then return 1 end
  if opening and known.last + used() + weight > most then return guard - elapsed end
  return priority == 2 and wait_of_backfill(weight, most) or 0
end

local function take_window(weight, priority)
  if per_window == 0 then return end
  if opening then known.before = known.before + weight else known.out = known.out + weight end
  if priority == 2 then known.low = known.low + weight end
end

local function wait_for(key, most, ms, weight)
  if most == 0 then return math.max(0, redis.call('PTTL', key)) end
  local over = redis.call('LLEN', key) + weight - most
  if over <= 0 then return 0 end
  return math.max(0, tonumber(redis.call('LINDEX', key, over - 1)) + ms + GUARD_MS - now)
end

local function take(key, most, ms, weight)
  if most == 0 then return end
  for _ = 1, weight do redis.call('RPUSH', key, string.format('%.0f', now)) end
  redis.call('LTRIM', key, -most, -1)
  redis.call('PEXPIRE', key, ms + 10 * GUARD_MS)
end

for _ = 1, returns do
  give_back(taken(5))
end

local reply = {opening and known.window - 1 or known.window}
local blocked = math.max(0, known.paused - now)
for _ = 1, wants do
  local weight, priority, count = taken(3)
  local limits, alone = {}, 0
  for at = 1, count do
    local key, most, ms = taken(3)
    local limit = {KEYS[key], most, ms, key == 2 and weight or 1}
    limit[4] = most > 0 and math.min(limit[4], most) or limit[4]
    limits[at] = limit
    local wait = wait_for(unpack(limit))
    if key == 2 then blocked = math.max(blocked, wait) else alone = math.max(alone, wait) end
  end
  if blocked == 0 and alone == 0 then blocked = math.ceil(math.max(0, wait_for_window(weight, priority))) end
  if blocked > 0 then
    reply[#reply + 1] = blocked
  elseif alone > 0 then
    reply[#reply + 1] = -alone
  else
    take_window(weight, priority)
    for _, limit in ipairs(limits) do take(unpack(limit)) end
    known.requests, known.spent = known.requests + 1, known.spent + weight
    reply[#reply + 1] = 0
  end
end
keep()
return reply
