-- Gives one slot back.
--
--   me serial id        whose ask won the slot, and the slot
--   seen                when the exchange had surely seen its request, less the present
--   unsent              instead of seen: that nothing left
--   freeze bench        after a refusal: for how long nobody sends, and this slot stays out
--
-- Gives 1 if the slot was still held by that ask, else 0.

local slot, benched = nil, 0
for _, each in ipairs(slots) do
  if each.id == ask.id then slot = each
  elseif not each.holder and each.free > now + period + 1000000 then benched = benched + 1 end
end
local mine = slot and slot.holder == ask.me and slot.serial == ask.serial
if not mine and not ask.freeze then return 0 end

if mine then
  slot.holder = nil
  if ask.unsent then
    slot.free = now
    set('sent', text(field.sent - 1))
  else
    slot.free = now + ask.seen + period
  end
  if ask.bench and benched < count - 1 then slot.free = math.max(slot.free, now + ask.bench) end
  put(slot)
end
if ask.freeze then
  frozen = math.max(frozen, now + ask.freeze)
  set('frozen', text(frozen), 'refused', text((field.refused or 0) + (mine and 1 or 0)))
end
set('clock', text(now))
tell()
return mine and 1 or 0
