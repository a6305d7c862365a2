-- A collector begins: whatever another one still sends is refused from now on.
-- Reply: ok, the last id of the stream ('' without one), then the fields of the checkpoint, if any.
local wrong = wrong_key()
if wrong then return {'wrong', wrong} end
if redis.call('EXISTS', checkpoint) == 1 then
  local fence = tonumber(redis.call('HGET', checkpoint, 'fence') or '0')
  redis.call('HSET', checkpoint, 'fence', next_fence(fence))
end
local found = redis.call('HGETALL', checkpoint)
table.insert(found, 1, last_id())
table.insert(found, 1, 'ok')
return found
