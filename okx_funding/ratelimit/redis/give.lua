-- Gives one slot back.
--
--   me serial id           whose ask won the slot, and the slot
--   seen                   when the exchange had surely seen its request, less the present
--   unsent                 instead of seen: that nothing left
--   freeze cooldown        after a refusal: how long nobody sends, and how long this slot stays out
--   ahead slack channel    as in take.lua
--
-- Gives 1 if the slot was still held by that ask, else 0.

local slot, cooling = nil, 0
for _, each in ipairs(slots) do
  if each.id == ask.id then slot = each
  elseif not each.holder and each.free > now + period + 1000000 then cooling = cooling + 1 end
end
local own = mine(slot, ask.serial)
if not own and not ask.freeze then return 0 end

if own then
  slot.holder = nil
  if ask.unsent then
    slot.free = slot.usable
    set('sent', text(field.sent - 1))
  else
    slot.free = now + ask.seen + period
  end
  if ask.cooldown and cooling < count - 1 then
    slot.free = math.max(slot.free, now + ask.cooldown)
  end
  put(slot)
end
if ask.freeze then
  frozen = math.max(frozen, now + ask.freeze)
  set('frozen', text(frozen), 'refused', text((field.refused or 0) + (own and 1 or 0)))
  if not count then redis.call('EXPIRE', BUCKET, 86400) end
  local told = {[ask.me] = true}
  for _, each in ipairs(slots) do -- whoever holds one may not have used it yet
    if each.holder and not told[each.holder] then
      told[each.holder] = true
      redis.call('PUBLISH', ask.channel .. each.holder, 'freeze ' .. text(frozen - now) .. ' ' .. BUCKET)
    end
  end
end
set('clock', text(now))
call_next()
return own and 1 or 0
