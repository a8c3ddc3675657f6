-- Appends the requests of one group, each whole or not at all; a group that was appended already is only answered again.
-- ARGV: writer, group, now, streams; of each: name, depth at the most (0: any), ids known for ms (0: none), ids at the most;
--       requests; of each: batches; of each: stream (1..), received at, records; then of each record of all of them:
--       partition, hash of the id, data, key, type, id, time, headers
-- Gives requests with ';' between: 'busy', or batches with '|' between: 'partition,first,last …/duplicate …'
local CHUNK = 1024
-- Beyond this numbers are not exact here: a time that is later is only «late».
local LATE = 9e15
local answers, group, now = prefix .. ':writer:' .. word(), word(), word()
local answered = redis.call('HGET', answers, group)
if answered then return answered end
local now_ms = tonumber(now)

-- Ids lie in two hashes. What is in the old one is older than the young one's beginning: when that is out of the window,
-- or the young one is full, the old one goes.
local function rotate(s)
  local since = tonumber(redis.call('HGET', s.meta, 'ids-since') or -1)
  if since < 0 or now_ms < since - s.within then
    redis.call('HSET', s.meta, 'ids-since', now)
  elseif now_ms - since > s.within or redis.call('HLEN', s.ids) >= s.ids_max then
    redis.call('UNLINK', s.old)
    if redis.call('EXISTS', s.ids) == 1 then redis.call('RENAME', s.ids, s.old) end
    redis.call('HSET', s.meta, 'ids-since', now)
  end
end

local function within(s, found)
  return found and now_ms - tonumber(string.match(found, '^%d+')) <= s.within
end

local function place(s, received, records)
  local ranges, order, duplicates = {}, {}, {}
  for i = 0, records - 1 do
    local p, hash = ARGV[at + 1], ARGV[at + 2]
    local data, key, kind, id = ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6]
    local time, headers = ARGV[at + 7], ARGV[at + 8]
    at = at + 8
    local named = s.within > 0 and hash ~= ''
    local known = named and within(s, redis.call('HGET', s.ids, hash))
    if known or (named and s.aged and within(s, redis.call('HGET', s.old, hash))) then
      duplicates[#duplicates + 1] = i
    else
      local entry = redis.call('XADD', s.base .. p, '0-*', 'data', data, 'key', key, 'type', kind, 'id', id,
        'time', time, 'received_at', received, 'headers', headers)
      local offset = tonumber(string.sub(entry, 3)) - 1
      if named then redis.call('HSET', s.ids, hash, now .. ' ' .. p .. ' ' .. plain(offset)) end
      local range = ranges[p]
      if not range then
        range = { first = offset }
        ranges[p] = range
        order[#order + 1] = p
      end
      range.last = offset
      local part = s.parts[p]
      if not part then
        part = { chunks = {}, received = received }
        s.parts[p] = part
      end
      part.next = offset + 1
      local c = math.floor(offset / CHUNK)
      local chunk = part.chunks[c]
      if not chunk then
        chunk = { time = -LATE, received = -LATE, largest = 0, bytes = 0 }
        part.chunks[c] = chunk
      end
      local bytes = #data + #key + #kind + #id + #headers + 32
      chunk.time = math.max(chunk.time, math.min(LATE, tonumber(time ~= '' and time or received)))
      chunk.received = math.max(chunk.received, tonumber(received))
      chunk.largest = math.max(chunk.largest, bytes)
      chunk.bytes = chunk.bytes + bytes
      s.bytes, s.added = s.bytes + bytes, s.added + 1
    end
  end
  for i, p in ipairs(order) do order[i] = p .. ',' .. plain(ranges[p].first) .. ',' .. plain(ranges[p].last) end
  return table.concat(order, ' ') .. '/' .. table.concat(duplicates, ' ')
end

local streams = {}
for i = 1, number() do
  local name = word()
  local base = base_of(name)
  local s = { name = name, base = base, meta = base .. 'meta', ids = base .. 'ids', old = base .. 'ids-old',
    max = number(), within = number(), ids_max = number(), parts = {}, bytes = 0, added = 0 }
  s.depth = tonumber(redis.call('HGET', s.meta, 'depth') or 0)
  if s.within > 0 then
    rotate(s)
    s.aged = redis.call('EXISTS', s.old) == 1
  end
  streams[i] = s
end

local out = {}
for r = 1, number() do
  local batches, records, busy = {}, 0, false
  for b = 1, number() do
    local batch = { s = streams[number()], received = word(), records = number() }
    local s = batch.s
    if batch.records > 0 and s.max > 0 and s.depth + s.added >= s.max then busy = true end
    records = records + batch.records
    batches[b] = batch
  end
  if busy then
    at = at + 8 * records
    out[r] = 'busy'
  else
    for b, batch in ipairs(batches) do batches[b] = place(batch.s, batch.received, batch.records) end
    out[r] = table.concat(batches, '|')
  end
end

for _, s in ipairs(streams) do
  if s.added > 0 then
    redis.call('HINCRBY', s.meta, 'depth', plain(s.added))
    redis.call('HINCRBY', s.meta, 'bytes', plain(s.bytes))
    local news = { 'a', s.name }
    for p, part in pairs(s.parts) do
      redis.call('HSET', s.meta, 'n' .. p, plain(part.next))
      redis.call('HSETNX', s.meta, 'o' .. p, part.received)
      local chunks = s.base .. p .. ':chunks'
      for c, chunk in pairs(part.chunks) do
        local before = redis.call('HGET', chunks, plain(c))
        if before then
          local time, received, largest, bytes = string.match(before, '^(%S+) (%S+) (%S+) (%S+)$')
          chunk.time = math.max(chunk.time, tonumber(time))
          chunk.received = math.max(chunk.received, tonumber(received))
          chunk.largest = math.max(chunk.largest, tonumber(largest))
          chunk.bytes = chunk.bytes + tonumber(bytes)
        end
        redis.call('HSET', chunks, plain(c), plain(chunk.time) .. ' ' .. plain(chunk.received) .. ' '
          .. plain(chunk.largest) .. ' ' .. plain(chunk.bytes))
      end
      news[#news + 1] = p
      news[#news + 1] = plain(part.next)
    end
    redis.call('PUBLISH', prefix .. ':news', table.concat(news, '\n'))
  end
end
local answer = table.concat(out, ';')
redis.call('HSET', answers, group, answer)
redis.call('HDEL', answers, plain(tonumber(group) - 64))
redis.call('PEXPIRE', answers, 600000)
return answer
