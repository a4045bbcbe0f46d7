-- Keeps a refused message whole, once; the same body again adds to the letter's count.
-- args: digest, fields, names, channels
-- keys: counter, digest, letters, order
local known = redis.call('GET', key('digest', args.digest))
if known then
  redis.call('HINCRBY', key('order', known), 'count', 1)
  retell(args.channels, known, 1)
  return reply({result = 'counted', number = known})
end
local number = tostring(redis.call('INCR', key('counter')))
local letter = copy(args.fields)
letter.accepted_at, letter.letter_at = ts(now), ts(now)
letter.count, letter.digest = '1', args.digest
set(key('order', number), letter)
redis.call('SET', key('digest', args.digest), number)
redis.call('ZADD', key('letters', letter.letter), ts(now), number)
if args.names then tell(args.channels, number, letter, 'order.dead_lettered') end
return reply({result = 'refused', number = number})
