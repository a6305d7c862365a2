-- KEYS ready, delayed, reserved, notify, quarantine, held
-- ARGV {horizon, seconds (of a reservation, none: for ever), migrate (most jobs at once), token, most
--   (jobs to reserve), hold (seconds; none: they are tried at once)}
-- Reply {set aside, payload, reserved payload, payload, ...}. Held jobs are not tried yet: they return
-- to the head of the queue, with no attempt counted, if their worker dies.
local ready, delayed, reserved, notify, quarantine, held = unpack(KEYS)
local told = cjson.decode(ARGV[1])

local function named(id)
  return type(id) == 'string' and id ~= '' and id
end

local function identity(job)
  return named(job.uuid) or named(job.id)
end

-- Records of jobs share their names with everything else that Horizon keeps.
local horizons = {
  recent_jobs = true, pending_jobs = true, completed_jobs = true, silenced_jobs = true,
  failed_jobs = true, recent_failed_jobs = true, monitored_jobs = true, monitoring = true,
  measured_jobs = true, measured_queues = true, masters = true, supervisors = true,
  last_snapshot_at = true, ['job:'] = true, ['queue:'] = true, ['snapshot:'] = true,
  ['failed:'] = true, ['master:'] = true, ['supervisor:'] = true, ['commands:'] = true,
  ['monitor:'] = true, ['metrics:'] = true, ['notification:'] = true,
}

local function is_horizons(id)
  return horizons[id] or horizons[string.match(id, '^[^:]*:') or '']
end

local function pending(payload)
  if told.horizon == '' then return end
  local ok, id = pcall(function() return identity(cjson.decode(payload)) end)
  if ok and id and not is_horizons(id) then
    record(told, id, 'status', 'pending', 'payload', payload, 'updated_at', stamp)
  end
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
    pending(payload)
  end
end

-- What a dead worker had in hand returns to the head of the queue, in its order.
local function let_go()
  local due = redis.call('ZRANGEBYSCORE', held, '-inf', now, 'LIMIT', 0, told.migrate)
  for place = #due, 1, -1 do
    redis.call('ZREM', held, due[place])
    local payload, original = unheld(due[place])
    if redis.call('ZREM', reserved, payload) == 1 then
      redis.call('LPUSH', ready, original)
      redis.call('RPUSH', notify, 1)
      pending(original)
    end
  end
end

local function counted(payload)
  local job = cjson.decode(payload)
  job['attempts'] = job['attempts'] + 1
  local id = identity(job)
  if told.horizon ~= '' and id and is_horizons(id) then
    error('its uuid is the name of a key of Horizon', 0)
  end
  return {cjson.encode(job), id}
end

let_go()
migrate(delayed)
if told.seconds then migrate(reserved) end

local reply = {0}
while #reply < 2 * told.most do
  local payload = redis.call('LINDEX', ready, 0)
  if not payload then break end
  local ok, made = pcall(counted, payload)
  if ok then
    redis.call('LPOP', ready)
    redis.call('ZADD', reserved, told.seconds and now + told.seconds or '+inf', made[1])
    if told.hold then
      -- To the microsecond, and one more for each: equal scores would be in the order of their texts.
      local until_then = now + told.hold + (tonumber(clock[2]) + #reply) / 1000000
      redis.call('ZADD', held, until_then, hold(made[1], payload))
    end
    if told.horizon ~= '' and made[2] then
      record(told, made[2], 'status', 'reserved', 'payload', made[1], 'updated_at', stamp,
        'reserved_at', stamp)
    end
    reply[#reply + 1] = payload
    reply[#reply + 1] = made[1]
  elseif reply[1] == 100 then
    break
  else
    -- What Redis' JSON library cannot read is set aside with its bytes; PHP's own script drops it.
    local why = string.gsub(tostring(made), '%c', ' ')
    redis.call('RPUSH', quarantine, told.token .. '-' .. reply[1] .. '\n' .. why .. '\n' .. payload)
    redis.call('LPOP', ready)
    reply[1] = reply[1] + 1
  end
  redis.call('LPOP', notify)
end
return reply
