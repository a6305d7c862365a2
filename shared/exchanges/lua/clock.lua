-- The venue's clock was read. A running pause ends when it would have ended.
-- KEYS state
-- ARGV the venue's clock minus that of Redis, by how much it may be wrong (ms)
local offset = tonumber(ARGV[1])
known.paused = known.paused + offset - known.offset
known.offset, known.doubt = offset, tonumber(ARGV[2])
keep()
