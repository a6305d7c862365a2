-- KEYS held
-- ARGV member of held: a job that is tried now. From here on its attempt counts.
return redis.call('ZREM', KEYS[1], ARGV[1])
