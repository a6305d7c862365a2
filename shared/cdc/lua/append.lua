-- Entries, and what they prove: one step. A script keeps what it wrote before an error, so all that
-- can refuse is asked before the first write.
-- ARGV fence, head before, head after, now_ms, epoch, seq, position, filter, '', then per entry: id,
-- name of its payload, header, payload. epoch is '' while no transaction becomes whole: the place to
-- read on from stays. Without entries only the place moves.
-- Reply: ok; fenced: somebody else took over; lost: Redis holds less, or other things, than it was
-- given; wrong: a key holds something else; gap: the ids do not follow one another.
local wrong = wrong_key()
if wrong then return {'wrong', wrong} end
local held = redis.call('HMGET', checkpoint, 'fence', 'head')
if not held[1] then return {'lost', 'no checkpoint'} end
if held[1] ~= ARGV[1] then return {'fenced', held[1]} end
if held[2] ~= ARGV[2] then return {'lost', held[2] or ''} end
local last = last_id()
if last ~= ARGV[2] then return {'lost', last} end
local gap = broken(ARGV[2])
if gap then return {'gap', gap} end
if not may_write() then return {'refused', 'HSET'} end

write()
return {'ok', ''}
