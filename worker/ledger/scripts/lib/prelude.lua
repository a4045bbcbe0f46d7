-- What every script begins with: its arguments, the clock, keys and records.
-- KEYS[1] is the base of the room's keys, ARGV[1] the context and ARGV[2] the arguments, both JSON.
-- Keys are built from the base alone; its hash tag puts them in one slot. keys.py explains each.
-- args: none
-- keys: order
local base = KEYS[1]
local context = cjson.decode(ARGV[1])
local args = cjson.decode(ARGV[2])
local KINDS = {'confirm', 'ask', 'recheck'}

local function key(name, first, second)
  local text = base .. name
  if first then text = text .. ':' .. first end
  if second then text = text .. ':' .. second end
  return text
end

-- The ledger's one clock, in seconds since the epoch. A test may override it.
local function clock()
  if context.now then return tonumber(context.now) end
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end
local now = clock()

local function ts(time) return string.format('%.6f', time) end

local function hash(name)
  local flat, fields = redis.call('HGETALL', name), {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end

-- Writes all fields in one command: the append-only file then holds the key's name once.
local function set(name, fields)
  local flat = {}
  for field, value in pairs(fields) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  if #flat > 0 then redis.call('HSET', name, unpack(flat)) end
end

local function copy(fields)
  local copied = {}
  for field, value in pairs(fields) do copied[field] = value end
  return copied
end

local function get(id)
  local order = hash(key('order', id))
  if next(order) == nil then return nil end
  return order
end

local function lane_of(order) return order.account or '-' end

-- True while the supplier has not accepted the order and a confirm may follow.
local function may_confirm(state) return state == 'accepted' or state == 'submitted' end

local function reply(fields)
  fields.now = ts(now)
  return cjson.encode(fields)
end
