-- Removes entries below an id that every sink has passed. Also at the memory limit: it frees.
-- ARGV fence, id. Reply: ok and how many; fenced; lost; wrong.
local wrong = wrong_key()
if wrong then return {'wrong', wrong} end
local fence = redis.call('HGET', checkpoint, 'fence')
if not fence then return {'lost', 'no checkpoint'} end
if fence ~= ARGV[1] then return {'fenced', fence} end
return {'ok', tostring(redis.call('XTRIM', stream, 'MINID', ARGV[2]))}
