-- KEYS reserved, ready and notify of the queue that takes what is handed back to PHP
-- ARGV reserved payload, {horizon, id, name, connection, queue, ms, silenced, retry_of, tags, completed
--   and monitored (minutes), back (a job, see announce)}, payload handed back or ''
-- Reply 1, or 0 when the reservation is somebody else's: then nothing is changed.
local payload, told = ARGV[1], cjson.decode(ARGV[2])

if redis.call('ZREM', KEYS[1], payload) == 0 then return 0 end

local function measure(key, set)
  local full = told.horizon .. key
  redis.call('SADD', told.horizon .. set, full)
  local seen = redis.call('HMGET', full, 'throughput', 'runtime')
  local before = tonumber(seen[1]) or 0
  local mean = ((tonumber(seen[2]) or told.ms) * before + told.ms) / (before + 1)
  redis.call('HSET', full, 'throughput', before + 1, 'runtime', mean)
end

if told.horizon ~= '' then
  if told.retry_of then retried(told, 'completed') end
  list(told, told.silenced and 'silenced_jobs' or 'completed_jobs', told.id)
  unlist(told, 'pending_jobs', told.id)
  record(told, told.id, 'status', 'completed', 'completed_at', stamp)
  expire(told, told.id, told.completed)
  for _, tag in ipairs(told.tags) do
    if monitored(told, tag) then
      list(told, 'monitored_jobs', told.id)
      record(told, told.id, 'id', told.id, 'connection', told.connection, 'queue', told.queue,
        'name', told.name, 'payload', payload)
      expire(told, told.id, told.monitored)
      break
    end
  end
  measure('queue:' .. told.queue, 'measured_queues')
  measure('job:' .. told.name, 'measured_jobs')
end

if ARGV[3] ~= '' then
  announce(told, told.back, ARGV[3])
  push(KEYS[2], KEYS[3], ARGV[3])
end
return 1
