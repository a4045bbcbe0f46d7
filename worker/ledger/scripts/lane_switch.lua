-- A person's word on a lane: hold, release, pages_on or pages_off.
-- args: lane, action, note
-- keys: lane, pages
local name = key('lane', args.lane)
if args.action == 'hold' then
  redis.call('HSET', name, 'held', 'person', 'held_since', ts(now), 'note', args.note)
  redis.call('HDEL', name, 'probe', 'probe_at', 'probe_from', 'probes')
elseif args.action == 'release' then
  redis.call('HDEL', name, 'held', 'held_since', 'note', 'probe', 'probe_at', 'probe_from',
    'probes', 'failing', 'missing', 'vouched')
else
  redis.call('HDEL', name, 'pages_off', 'pages_since', 'pages_note', 'pages_agreed', 'pages_from',
    'paging_until')
  redis.call('DEL', key('pages', args.lane))
  if args.action == 'pages_off' then
    redis.call('HSET', name, 'pages_off', 'off', 'pages_since', ts(now))
  end
end
return reply({result = 'ok'})
