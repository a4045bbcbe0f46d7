-- Ends a page's turn: keeps what the page taught, when the next page may be asked for, and until
-- when due re-checks wait for one.
-- args: lane, known, from, paging, denied
-- keys: lane, pages, reserved
local name = key('lane', args.lane)
redis.call('ZREM', key('reserved', args.lane), '|page')
redis.call('HSET', name, 'pages_from', ts(args.from))
if args.known then redis.call('SET', key('pages', args.lane), args.known) end
if args.paging then redis.call('HSET', name, 'paging_until', ts(args.paging)) end
local pages_off = args.denied and page_judged(args.lane, 'contradicted', args.denied) or nil
return reply({result = 'ok', pages_off = pages_off})
