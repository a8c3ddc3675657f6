-- Gives the group's place in a partition to a member: what others had delivered and not acknowledged becomes its own.
-- ARGV: stream, partition, consumer, member, offset. Gives how many were another's, and how many were delivered before.
local key = base_of(word()) .. word()
local consumer, member, offset = word(), word(), word()
local from = tonumber(offset)
make_group(key, consumer, offset)
local taken = 0
for _, other in ipairs(redis.call('XINFO', 'CONSUMERS', key, consumer)) do
  if other[2] ~= member then taken = taken + tonumber(other[4]) end
end
local cursor = '0-0'
repeat
  cursor = redis.call('XAUTOCLAIM', key, consumer, member, 0, cursor, 'COUNT', 1000, 'JUSTID')[1]
until cursor == '0-0'
for _, other in ipairs(redis.call('XINFO', 'CONSUMERS', key, consumer)) do
  if other[2] ~= member and tonumber(other[4]) == 0 then redis.call('XGROUP', 'DELCONSUMER', key, consumer, other[2]) end
end
acknowledge(key, consumer, offset)
local delivered = 0
for _, group in ipairs(redis.call('XINFO', 'GROUPS', key)) do
  if group[2] == consumer then delivered = tonumber(string.match(group[8], '%-(%d+)$')) end
end
local pending = redis.call('XPENDING', key, consumer)
local count = tonumber(pending[1])
if delivered < from then
  redis.call('XGROUP', 'SETID', key, consumer, '0-' .. offset, 'ENTRIESREAD', offset)
elseif count > 0 or delivered > from then
  local whole = count == delivered - from and pending[2] == '0-' .. plain(from + 1)
  if not whole then
    if count > 0 then acknowledge(key, consumer, plain(delivered)) end
    redis.call('XGROUP', 'SETID', key, consumer, '0-' .. offset, 'ENTRIESREAD', offset)
    count = 0
  end
end
return { taken, count }
