-- The stream begins again after an id, with these entries, and the checkpoint says so.
-- ARGV as for append, but fence '' where there was no checkpoint, and what opens the stream behind
-- the filter.
-- Reply: ok and the fence; or as append.
local wrong = wrong_key()
if wrong then return {'wrong', wrong} end
local fence = redis.call('HGET', checkpoint, 'fence') or ''
if fence ~= ARGV[1] then return {fence == '' and 'lost' or 'fenced', fence} end
local gap = broken(ARGV[2])
if gap then return {'gap', gap} end
if not may_write() then return {'refused', 'HSET'} end

if fence == '' then fence = next_fence(0) end
redis.call('DEL', stream)
redis.call('XADD', stream, ARGV[2], 'h', '')
redis.call('XTRIM', stream, 'MAXLEN', 0)
redis.call('HSET', checkpoint, 'fence', fence, 'stopped', '', 'opens', ARGV[9])
write()
return {'ok', fence}
