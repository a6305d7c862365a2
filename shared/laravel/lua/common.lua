-- Before every script. `told.horizon` is Horizon's key prefix, or '' where its records are off.
local clock = redis.call('TIME')
local now = tonumber(clock[1])

-- As PHP's microtime(true) prints it.
local stamp = clock[1] .. '.' .. string.format('%04d', math.floor(tonumber(clock[2]) / 100))

local function record(told, id, ...)
  redis.call('HSET', told.horizon .. id, ...)
end

local function expire(told, id, minutes)
  redis.call('EXPIREAT', told.horizon .. id, now + 60 * minutes)
end

-- Horizon lists the newest first: scores are negative.
local function list(told, set, id)
  redis.call('ZADD', told.horizon .. set, '-' .. stamp, id)
end

local function unlist(told, set, id)
  redis.call('ZREM', told.horizon .. set, id)
end

local function monitored(told, tag)
  return redis.call('SISMEMBER', told.horizon .. 'monitoring', tag) == 1
end

-- A job that repeats a failed one says on that one's record how it ended.
local function retried(told, status)
  local key = told.horizon .. told.retry_of
  local ok, retries = pcall(cjson.decode, redis.pcall('HGET', key, 'retried_by'))
  if not ok or type(retries) ~= 'table' then return end
  for _, retry in ipairs(retries) do
    if retry.id == told.id then retry.status = status end
  end
  redis.call('HSET', key, 'retried_by', cjson.encode(retries))
end

-- A job on its way, as Horizon sees it: the record first, then the job. `job` has id, name, queue,
-- connection, tags and pending (minutes).
local function announce(told, job, payload)
  if told.horizon == '' then return end
  list(told, 'recent_jobs', job.id)
  list(told, 'pending_jobs', job.id)
  record(told, job.id, 'id', job.id, 'connection', job.connection, 'queue', job.queue, 'name', job.name,
    'status', 'pending', 'payload', payload, 'created_at', stamp, 'updated_at', stamp)
  expire(told, job.id, job.pending)
  for _, tag in ipairs(job.tags) do
    if monitored(told, tag) then redis.call('ZADD', told.horizon .. tag, stamp, job.id) end
  end
end

local function push(ready, notify, payload)
  redis.call('RPUSH', ready, payload)
  redis.call('RPUSH', notify, 1)
end

-- A held job: its reserved payload and the original one, in one member of a sorted set.
local function hold(reserved, original)
  return string.len(reserved) .. ':' .. reserved .. original
end

local function unheld(member)
  local colon = string.find(member, ':', 1, true)
  local last = colon + tonumber(string.sub(member, 1, colon - 1))
  return string.sub(member, colon + 1, last), string.sub(member, last + 1)
end
