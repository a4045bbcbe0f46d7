-- Reads one order, with the ledger's time.
-- args: id
-- keys: none
local order = get(args.id)
if not order then return reply({result = 'gone'}) end
recall(args.id, order)
return reply({result = 'ok', order = order})
