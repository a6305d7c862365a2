-- Why nothing is appended, for everybody who looks. ARGV fence, JSON or ''.
-- Reply: ok; fenced; lost; wrong.
local wrong = wrong_key()
if wrong then return {'wrong', wrong} end
local fence = redis.call('HGET', checkpoint, 'fence')
if not fence then return {'lost', 'no checkpoint'} end
if fence ~= ARGV[1] then return {'fenced', fence} end
redis.call('HSET', checkpoint, 'stopped', ARGV[2])
return {'ok', ''}
