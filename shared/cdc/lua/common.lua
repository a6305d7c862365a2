-- Before every script. KEYS stream, checkpoint.
local stream, checkpoint = KEYS[1], KEYS[2]

-- A key that holds something else is nobody's to write or delete.
local function strange(key, wanted)
  local kind = redis.call('TYPE', key).ok
  return kind ~= 'none' and kind ~= wanted
end

local function wrong_key()
  if strange(stream, 'stream') then return stream end
  if strange(checkpoint, 'hash') then return checkpoint end
  return false
end

-- '' when there is no stream. Deleted entries do not count: it is the last one there ever was.
local function last_id()
  if redis.call('EXISTS', stream) == 0 then return '' end
  local info = redis.call('XINFO', 'STREAM', stream)
  for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then return info[at + 1] end
  end
end

-- The clock is in it, so that one who slept through a loss of Redis does not hold the right one.
local function next_fence(fence)
  local clock = redis.call('TIME')
  return string.format('%.0f', math.max(fence + 1, clock[1] * 1000000 + clock[2]))
end

-- The first of the entries in ARGV whose id does not follow the one before.
local function broken(head)
  local seq, chunk = string.match(head, '^(%d+)-(%d+)$')
  seq, chunk = tonumber(seq), tonumber(chunk)
  for at = 10, #ARGV, 4 do
    local s, c = string.match(ARGV[at], '^(%d+)-(%d+)$')
    s, c = tonumber(s), tonumber(c)
    if not ((s == seq and c == chunk + 1) or (s == seq + 1 and c == 0)) then return ARGV[at] end
    seq, chunk = s, c
  end
  return false
end

-- Asked before the entries are written: without HSET they would stand there and nobody would know.
local function may_write()
  return redis.acl_check_cmd('HSET', checkpoint, 'head', '')
end

local function write()
  for at = 10, #ARGV, 4 do
    redis.call('XADD', stream, ARGV[at], 'h', ARGV[at + 2], ARGV[at + 1], ARGV[at + 3])
  end
  redis.call('HSET', checkpoint, 'head', ARGV[3], 'at_ms', ARGV[4])
  if ARGV[5] ~= '' then
    redis.call('HSET', checkpoint, 'epoch', ARGV[5], 'seq', ARGV[6], 'position', ARGV[7],
      'filter', ARGV[8])
  end
end
