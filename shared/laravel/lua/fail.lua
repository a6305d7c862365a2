-- KEYS reserved, ready and notify of the queue that takes what is handed back to PHP
-- ARGV reserved payload, {horizon, id, name, connection, queue, exception, retry_of, tags, failed
--   (minutes), back (a job, see announce)}, payload handed back or ''
-- Reply 1, or 0 when the reservation is somebody else's: then nothing is changed.
local payload, told = ARGV[1], cjson.decode(ARGV[2])

if redis.call('ZREM', KEYS[1], payload) == 0 then return 0 end

if told.horizon ~= '' then
  if told.retry_of then retried(told, 'failed') end
  list(told, 'failed_jobs', told.id)
  list(told, 'recent_failed_jobs', told.id)
  unlist(told, 'pending_jobs', told.id)
  unlist(told, 'completed_jobs', told.id)
  unlist(told, 'silenced_jobs', told.id)
  record(told, told.id, 'id', told.id, 'connection', told.connection, 'queue', told.queue,
    'name', told.name, 'status', 'failed', 'payload', payload, 'exception', told.exception,
    'context', '', 'completed_at', stamp, 'failed_at', stamp)
  expire(told, told.id, told.failed)
  for _, tag in ipairs(told.tags) do
    redis.call('ZADD', told.horizon .. 'failed:' .. tag, stamp, told.id)
    redis.call('EXPIRE', told.horizon .. 'failed:' .. tag, 60 * told.failed)
  end
end

if ARGV[3] ~= '' then
  announce(told, told.back, ARGV[3])
  push(KEYS[2], KEYS[3], ARGV[3])
end
return 1
