-- Remembers a withdraw that came before its confirm, for `keep` seconds.
-- args: id, keep
-- keys: order, withdrawn
if redis.call('EXISTS', key('order', args.id)) == 1 then return reply({result = 'exists'}) end
redis.call('SET', key('withdrawn', args.id), ts(now), 'EX', args.keep)
return reply({result = 'marked'})
