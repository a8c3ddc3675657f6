-- Keeps positions of a consumer and moves its group. ARGV: process, consumer, stream, then partition, offset …
local process, consumer, name = word(), word(), word()
local base = base_of(name)
local meta = base .. 'meta'
local news = { 'c', process, consumer, name }
redis.call('SADD', prefix .. ':consumers', consumer)
while at < #ARGV do
  local p, offset = word(), word()
  local key = base .. p
  local before = waiting(meta, p)
  redis.call('HSET', base .. 'positions', consumer .. '/' .. p, offset)
  make_group(key, consumer, offset)
  acknowledge(key, consumer, offset)
  -- While something is pending a member reads through the group, and is ahead.
  if tonumber(redis.call('XPENDING', key, consumer)[1]) == 0 then
    redis.call('XGROUP', 'SETID', key, consumer, '0-' .. offset, 'ENTRIESREAD', offset)
  end
  furthest(base, p)
  settle(meta, p, before)
  news[#news + 1] = p
  news[#news + 1] = offset
end
redis.call('PUBLISH', prefix .. ':news', table.concat(news, '\n'))
return 0
