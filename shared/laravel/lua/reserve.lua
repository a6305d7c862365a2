-- KEYS ready, delayed, reserved, notify, quarantine
-- ARGV {horizon, seconds (of a reservation, none: for ever), migrate (most jobs at once), token}
-- Reply {payload, reserved payload, set aside}; payload is false when nothing waits.
local ready, delayed, reserved, notify, quarantine = unpack(KEYS)
local told = cjson.decode(ARGV[1])

local function identity(job)
  if type(job.uuid) == 'string' then return job.uuid end
  if type(job.id) == 'string' then return job.id end
  return nil
end

-- Due jobs and abandoned reservations go to the end of the queue.
local function migrate(from)
  local due = redis.call('ZRANGEBYSCORE', from, '-inf', now, 'LIMIT', 0, told.migrate)
  for first = 1, #due, 100 do
    local last = math.min(first + 99, #due)
    redis.call('ZREM', from, unpack(due, first, last))
    redis.call('RPUSH', ready, unpack(due, first, last))
  end
  for _, payload in ipairs(due) do
    redis.call('RPUSH', notify, 1)
    if told.horizon ~= '' then
      local ok, id = pcall(function() return identity(cjson.decode(payload)) end)
      if ok and id then
        record(told, id, 'status', 'pending', 'payload', payload, 'updated_at', stamp)
      end
    end
  end
end

local function counted(payload)
  local job = cjson.decode(payload)
  job['attempts'] = job['attempts'] + 1
  return {cjson.encode(job), identity(job)}
end

migrate(delayed)
if told.seconds then migrate(reserved) end

-- What Redis' JSON library cannot read is set aside with its bytes; PHP's own script drops it.
for aside = 0, 99 do
  local payload = redis.call('LINDEX', ready, 0)
  if not payload then return {false, false, aside} end
  local ok, made = pcall(counted, payload)
  if ok then
    redis.call('LPOP', ready)
    redis.call('ZADD', reserved, told.seconds and now + told.seconds or '+inf', made[1])
    redis.call('LPOP', notify)
    if told.horizon ~= '' and made[2] then
      record(told, made[2], 'status', 'reserved', 'payload', made[1], 'updated_at', stamp,
        'reserved_at', stamp)
    end
    return {payload, made[1], aside}
  end
  local why = string.gsub(tostring(made), '%c', ' ')
  redis.call('RPUSH', quarantine, told.token .. '-' .. aside .. '\n' .. why .. '\n' .. payload)
  redis.call('LPOP', ready)
  redis.call('LPOP', notify)
end
return {false, false, 100}
