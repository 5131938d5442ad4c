-- Holds slots for longer: their requests aren't answered yet.
--
--   me lease    whose, and for how long from now
--   slots       {id, serial} of each
--
-- Gives 1 for each that was still held by that ask, else 0.

local reply, by_id = {}, {}
for _, slot in ipairs(slots) do by_id[slot.id] = slot end
for number, each in ipairs(ask.slots) do
  local slot = by_id[each[1]]
  reply[number] = 0
  if mine(slot, each[2]) then
    slot.free = math.max(slot.free, now + ask.lease + period)
    put(slot)
    reply[number] = 1
  end
end
return reply
