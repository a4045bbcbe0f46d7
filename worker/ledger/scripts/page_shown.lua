-- The lane's orders among `ids` that are pending or have ended, as they are now.
-- args: lane, ids
-- keys: none
local ours = {}
for _, id in ipairs(args.ids) do
  local order = get(id)
  if order and lane_of(order) == args.lane and (order.state == 'pending' or order.ended_at) then
    recall(id, order)
    ours[#ours + 1] = {id, order}
  end
end
return reply({result = 'ok', ours = ours})
