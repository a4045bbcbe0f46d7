-- Notes orders that an older version kept in another spelling, by their canonical id.
-- args: spellings
-- keys: spelling
set(key('spelling'), args.spellings)
return reply({result = 'ok'})
