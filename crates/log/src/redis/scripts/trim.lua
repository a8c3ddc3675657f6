-- Drops whole chunks of a partition, unless they have grown or a consumer needs a record of them. ARGV: stream, partition,
-- their bytes, then their numbers in order. Gives the offset that is the first now; 0 when nothing went.
local base, p, bytes = base_of(word()), word(), word()
local meta, key = base .. 'meta', base .. p
local held, last = 0, 0
for i = at + 1, #ARGV do
  local chunk = redis.call('HGET', key .. ':chunks', ARGV[i])
  if not chunk then return 0 end
  held = held + tonumber(string.match(chunk, '(%S+)$'))
  last = tonumber(ARGV[i])
end
if held ~= tonumber(bytes) then return 0 end
local upto = math.min((last + 1) * 1024, tonumber(redis.call('HGET', meta, 'n' .. p) or 0))
local needed = positions(base, p)[1]
if needed and needed < upto then return 0 end
local before = waiting(meta, p)
redis.call('XTRIM', key, 'MINID', '0-' .. plain(upto + 1))
redis.call('HSET', meta, 'f' .. p, plain(upto))
while at < #ARGV do redis.call('HDEL', key .. ':chunks', word()) end
redis.call('HINCRBY', meta, 'bytes', '-' .. bytes)
redis.call('HDEL', meta, 'o' .. p)
local oldest = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
if oldest then
  for i = 1, #oldest[2], 2 do
    if oldest[2][i] == 'received_at' then redis.call('HSET', meta, 'o' .. p, oldest[2][i + 1]) end
  end
end
settle(meta, p, before)
return plain(upto)
