-- A person's word on an outcome that could not be delivered. args: id, sequence, requeue, channels
local member = args.id .. '|' .. args.sequence
if redis.call('ZREM', key('letters', 'outcome_undeliverable'), member) == 0 then return reply({result = 'gone'}) end
if args.requeue then retell(args.id, args.sequence) end
return reply({result = 'closed'})
