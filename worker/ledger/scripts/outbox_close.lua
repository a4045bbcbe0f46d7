-- A person's word on an outcome that could not be delivered.
-- args: id, sequence, requeue, channels
-- keys: letters
local member = args.id .. '|' .. args.sequence
local was_letter = redis.call('ZREM', key('letters', 'outcome_undeliverable'), member) == 1
if not was_letter then return reply({result = 'gone'}) end
if args.requeue then retell(args.channels, args.id, args.sequence) end
return reply({result = 'closed'})
