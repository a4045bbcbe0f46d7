-- A person has dealt with a refused message: its letter closes and its body, personal data, goes.
-- args: id, note, forget_after
-- keys: digest, expiring, letters, order
local letter = get(args.id)
if not letter or not letter.letter then return reply({result = 'gone'}) end
redis.call('ZREM', key('letters', letter.letter), args.id)
redis.call('DEL', key('digest', letter.digest))
redis.call('HDEL', key('order', args.id), 'letter', 'body')
redis.call('HSET', key('order', args.id), 'note', args.note, 'ended_at', ts(now))
redis.call('ZADD', key('expiring'), ts(now + args.forget_after), args.id)
return reply({result = 'closed'})
