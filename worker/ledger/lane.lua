-- A person's hold or release of a lane. args: lane, action, note
local name = key('lane', args.lane)
if args.action == 'hold' then
  redis.call('HSET', name, 'held', 'person', 'held_since', ts(now), 'note', args.note)
  redis.call('HDEL', name, 'probe', 'probe_at', 'probes')
else
  redis.call('HDEL', name, 'held', 'held_since', 'note', 'probe', 'probe_at', 'probes', 'failing', 'missing',
    'vouched')
end
return reply({result = 'ok'})
