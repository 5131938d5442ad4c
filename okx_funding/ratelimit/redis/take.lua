-- Takes slots, or a place in the queue; wanted 0 leaves the queue.
--
--   me serial lost      who asks for the how manieth time, and the first ask whose answer was lost
--   count period pace   the limit that it wants, its period in seconds; pace is 0, or the share of
--                       W/N between requests
--   guard               what is added to each period
--   wanted lease        how many slots, and how long at most a request holds one
--   silent settle       whether history is unknown, and how long what is unknown may still arrive
--   claim look grace    how long a claim lasts, until when it asks again, how long it may be late
--   bye                 that it will not come again
--
-- Gives: microseconds until its next slot at the latest, and hopefully; other processes waiting;
-- count and period in force; then the id of each slot that it won.

local last = claims[ask.me]
if last and ask.serial <= last.serial then return {} end -- an ask that its process gave up

-- Who is gone is forgotten.
local living, mine = {}, nil
for _, waiter in ipairs(queue) do
  if waiter.name == ask.me then mine = waiter
  elseif waiter.expires >= now then living[#living + 1] = waiter
  else redis.call('HDEL', KEYS[1], 'queue:' .. waiter.name) end
end
queue = living
if mine and mine.expires < now then mine = nil end

-- All limits rule that are wanted, and the highest rate that keeps them all.
local before = period
local limits = {{ask.count, ask.period}}
pace = ask.pace
for name, claim in pairs(claims) do
  if name ~= ask.me and claim.expires < now then
    redis.call('HDEL', KEYS[1], 'claim:' .. name)
  elseif name ~= ask.me then
    limits[#limits + 1] = {claim.count, claim.period}
    pace = math.max(pace, claim.pace)
  end
end
count, period = strictest(limits)
period = math.ceil(period * 1000000 - 0.001) + ask.guard
if ask.bye then
  redis.call('HDEL', KEYS[1], 'claim:' .. ask.me)
else
  set('claim:' .. ask.me, text(ask.count) .. ' ' .. string.format('%.17g', ask.period) .. ' ' .. ask.pace
    .. ' ' .. text(now + ask.claim) .. ' ' .. text(ask.serial))
end

-- Slots whose winner never heard of it are as free as they were.
local sent = field.sent or 0
for _, slot in ipairs(slots) do
  if slot.holder == ask.me and slot.serial >= ask.lost then
    slot.free, slot.holder = now, nil
    sent = sent - 1
    put(slot)
  end
end

-- Another limit: a longer window holds longer, a slot that is new has an unknown history, and
-- of those too many the ones longest free go first. What is held stays until it comes back.
if before and period > before then
  for _, slot in ipairs(slots) do
    slot.free = slot.free + period - before
    put(slot)
  end
end
in_order()
local excess = #slots - count
local known = {}
for _, slot in ipairs(slots) do known[slot.id] = true end
for id = 0, count - 1 do
  if #slots < count and not known[text(id)] then
    local slot = {id = text(id), free = now + period + ask.settle}
    slots[#slots + 1] = slot
    put(slot)
  end
end
local place = 1
while excess > 0 and place <= #slots do
  local slot = slots[place]
  if slot.holder and slot.free > now then
    place = place + 1
  else
    redis.call('HDEL', KEYS[1], 'slot:' .. slot.id)
    table.remove(slots, place)
    excess = excess - 1
  end
end
in_order()

if ask.silent then frozen = math.max(frozen, now + period + ask.settle) end

-- Slots are left for those who wait longer, one for each; of the rest it gets its part.
local since, older = mine and mine.since or now, 0
for _, waiter in ipairs(queue) do
  if waiter.since < since or (waiter.since == since and waiter.name < ask.me) then
    older = older + 1
  end
end
local free = 0
if now >= gate() then
  while free < #slots and slots[free + 1].free <= now do free = free + 1 end
end
local part = math.max(1, math.floor((free - older) / (#queue + 1)))
if pace > 0 then part = older == 0 and 1 or 0 end
local won = math.max(0, math.min(ask.wanted, part, free - older))
local reply = {0, 0, #queue, count, period}
for number = 1, won do
  local slot = slots[older + number]
  slot.free, slot.holder, slot.serial = now + ask.lease + period, ask.me, ask.serial
  put(slot)
  reply[#reply + 1] = slot.id
end
if won > 0 and pace > 0 then paced = now + pace * period / count end

set('count', text(count), 'period', text(period), 'pace', tostring(pace),
  'frozen', text(frozen), 'paced', text(paced), 'clock', text(now), 'sent', text(sent + won))

if won < ask.wanted then
  in_order()
  if won > 0 then since, older = now, #queue end
  local due = due_of(older)
  reply[1], reply[2] = math.ceil(due - now), math.ceil(due_of(older, true) - now)
  local expires = now + math.min(due - now, ask.look) + ask.grace
  queue[#queue + 1] = {name = ask.me, since = since, due = due, expires = expires}
  put_waiter(queue[#queue])
else
  redis.call('HDEL', KEYS[1], 'queue:' .. ask.me)
end
tell()
return reply
