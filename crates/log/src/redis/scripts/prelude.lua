-- What all scripts share. KEYS[1] is the prefix of all keys. Numbers are written in full: Lua would round what is large.
local prefix = KEYS[1]
local at = 0
local function word() at = at + 1 return ARGV[at] end
local function number() return tonumber(word()) end
local function plain(n) return string.format('%.0f', n) end
local function base_of(stream) return prefix .. ':{' .. stream .. '}:' end

-- How many records of a partition no consumer has come past: its end, less its begin or the furthest position.
local function waiting(meta, p)
  local of = redis.call('HMGET', meta, 'n' .. p, 'f' .. p, 'd' .. p)
  return math.max(0, tonumber(of[1] or 0) - math.max(tonumber(of[2] or 0), tonumber(of[3] or 0)))
end

-- The depth of the stream follows what a partition waits for now and waited for before.
local function settle(meta, p, before)
  local change = waiting(meta, p) - before
  if change ~= 0 then redis.call('HINCRBY', meta, 'depth', plain(change)) end
end

-- The positions of all consumers in a partition, lowest first.
local function positions(base, p)
  local found = {}
  for _, consumer in ipairs(redis.call('SMEMBERS', prefix .. ':consumers')) do
    local offset = redis.call('HGET', base .. 'positions', consumer .. '/' .. p)
    if offset then found[#found + 1] = tonumber(offset) end
  end
  table.sort(found)
  return found
end

-- Keeps the furthest position of a partition.
local function furthest(base, p)
  local all = positions(base, p)
  if #all > 0 then
    redis.call('HSET', base .. 'meta', 'd' .. p, plain(all[#all]))
  else
    redis.call('HDEL', base .. 'meta', 'd' .. p)
  end
end

-- Takes what lies before an offset off the list of what was delivered and not acknowledged.
local function acknowledge(key, group, offset)
  local acknowledged = 0
  while true do
    local pending = redis.call('XPENDING', key, group, '-', '0-' .. offset, 1000)
    if #pending == 0 then return acknowledged end
    local ids = {}
    for i, entry in ipairs(pending) do ids[i] = entry[1] end
    redis.call('XACK', key, group, unpack(ids))
    acknowledged = acknowledged + #ids
  end
end

-- Makes a group that stands before an offset, unless it is there.
local function make_group(key, group, offset)
  local made = redis.pcall('XGROUP', 'CREATE', key, group, '0-' .. offset, 'MKSTREAM')
  if type(made) == 'table' and made.err and not string.find(made.err, 'BUSYGROUP') then
    return error(made.err)
  end
end
