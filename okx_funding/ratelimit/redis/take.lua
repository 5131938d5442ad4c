-- Takes slots, up to some time before they may be used, or a place in the queue; wanted 0 leaves it.
--
--   me serial lost      who asks for the how manieth time, and the first ask whose answer was lost
--   count period pace   the limit that it wants, its period in seconds; pace is 0, or the share of
--                       W/N between requests
--   guard               what is added to each period
--   format speaks       the format of this bucket, and the highest that the process understands
--   server              the run id of this server, or nothing where it isn't known
--   wanted lease        how many slots, and for how long
--   silent settle       whether history is unknown, and how long what is unknown may still arrive
--   long                the longest window for which unknown history is waited for
--   ahead               how long before it may be used a slot is given
--   claim heartbeat     how long a claim lasts, and after what time whoever waits asks again
--   slack               how late it may be when it was called
--   channel             what stands before the name of a process in the name of its channel
--   leaves              that it will not come again
--
-- Gives: microseconds after which to ask again, and until the next slot, hopefully; other processes
-- waiting; count and period in force; then the id of each slot that it won and the microseconds
-- until it may be used. Or -1 and the format in which the bucket is kept now.

-- The highest rate that keeps all limits {count, seconds}, with the largest burst that reaches it,
-- as `strictest` in ratelimit/bucket.py says and reckons: in seconds, so that it rounds alike.
local function strictest(limits)
  local first, same = limits[1], true
  local best, span, least = 1, 0, first[1]
  for _, limit in ipairs(limits) do
    same = same and limit[1] == first[1] and limit[2] == first[2]
    span, least = math.max(span, limit[2] / limit[1]), math.min(least, limit[1])
  end
  if same then return first[1], first[2] end
  for n = 2, least do
    local window = 0
    for _, limit in ipairs(limits) do
      window = math.max(window, limit[2] / math.floor(limit[1] / n))
    end
    if n / window >= best / span then best, span = n, window end
  end
  return best, span
end

local last = redis.call('HGET', CLAIMS, ask.me)
if last and ask.serial <= tonumber(split(last)[6]) then return {} end -- a process gave it up
if field.moved then return {-1, field.moved} end

-- The claims are looked at when one changed or may have expired.
local before = period
local claim = string.format('%.0f %.17g %g %.0f', ask.count, ask.period, ask.pace, ask.speaks)
if ask.leaves then
  redis.call('HDEL', CLAIMS, ask.me)
else
  redis.call('HSET', CLAIMS, ask.me, string.format('%s %.0f %.0f', claim, now + ask.claim, ask.serial))
end
local known = last and string.sub(last, 1, #claim + 1) == claim .. ' '
if ask.leaves or not known or not count or now >= (field.review or 0) then
  local limits, lowest, review = {}, math.huge, now + ask.claim
  local highest = 0
  local all = redis.call('HGETALL', CLAIMS)
  for i = 1, #all, 2 do
    local parts = split(all[i + 1])
    if tonumber(parts[5]) < now then
      redis.call('HDEL', CLAIMS, all[i])
    else
      limits[#limits + 1] = {tonumber(parts[1]), tonumber(parts[2])}
      highest = math.max(highest, tonumber(parts[3]))
      lowest = math.min(lowest, tonumber(parts[4]))
      review = math.min(review, tonumber(parts[5]))
    end
  end
  if #limits == 0 then limits[1], highest, lowest = {ask.count, ask.period}, ask.pace, ask.format end
  count, period = strictest(limits)
  period, pace = math.ceil(period * 1000000 - 0.001) + ask.guard, highest
  field.review = review
  if KEYS[4] then
    redis.call('HSET', KEYS[4], 'moved', text(ask.format))
    redis.call('EXPIRE', KEYS[4], math.ceil(2 * ask.claim / 1000000))
  end
  if lowest > ask.format then -- nobody is left who needs this format
    set('moved', text(lowest))
    redis.call('EXPIRE', BUCKET, math.ceil(2 * ask.claim / 1000000))
    return {-1, lowest}
  end
  local keep = 86400 + math.ceil(2 * period / 1000000)
  redis.call('EXPIRE', CLAIMS, keep)
  set('review', text(review))
  redis.call('EXPIRE', BUCKET, keep)
end

-- Slots whose winner never heard of it are as free as they were.
local sent = field.sent or 0
for _, slot in ipairs(slots) do
  if slot.holder == ask.me and slot.serial >= ask.lost then
    slot.free, slot.holder = slot.usable, nil
    sent = sent - 1
    put(slot)
  end
end

-- What is unknown is taken for spent. Where the window is long, for the most: one slot after a
-- minute, the others one by one over the window; the exchange refuses what is too much.
local function unknown(place)
  local base = now + math.min(period, ask.long) + ask.settle
  return period > ask.long and base + place * period / count or base
end

-- Another limit: a longer window holds longer, a slot that is new has an unknown history, and
-- of those too many the ones longest free go first. What is held stays until it comes back.
if before and period > before then
  for _, slot in ipairs(slots) do
    slot.free = slot.free + period - before
    if slot.usable then slot.usable = slot.usable + period - before end
    put(slot)
  end
end
in_order()
local excess = #slots - count
local numbers = {}
for _, slot in ipairs(slots) do numbers[slot.id] = true end
for id = 0, count - 1 do
  if #slots < count and not numbers[text(id)] then
    local slot = {id = text(id), free = unknown(id)}
    slots[#slots + 1] = slot
    put(slot)
  end
end
local place = 1
while excess > 0 and place <= #slots do
  local slot = slots[place]
  if held(slot) then
    place = place + 1
  else
    redis.call('HDEL', BUCKET, 'slot:' .. slot.id)
    table.remove(slots, place)
    excess = excess - 1
  end
end

-- Another server than the one that wrote this may have missed the last of it.
local server = ask.server ~= '' and ask.server or field.server or ''
if ask.silent or (field.server and server ~= field.server) then
  if period <= ask.long then
    frozen = math.max(frozen, now + period + ask.settle)
  else
    for number, slot in ipairs(idle_slots()) do
      slot.free = math.max(slot.free, unknown(number - 1))
      put(slot)
    end
  end
end

-- Who was called and did not come is gone.
for name, latest in pairs(called) do
  if latest < now and name ~= ask.me then leave_queue(name) end
end
if called[ask.me] then
  redis.call('HDEL', BUCKET, 'called:' .. ask.me)
  called[ask.me] = nil
end

-- Slots are left for those who wait longer, one for each; of the rest it gets its part.
local rank = redis.call('ZRANK', QUEUE, ask.me)
local waiting = redis.call('ZCARD', QUEUE)
local older, others = rank or waiting, rank and waiting - 1 or waiting
local bookable = {}
if gate() <= now + ask.ahead then
  for _, slot in ipairs(idle_slots()) do
    if slot.free <= now + ask.ahead then bookable[#bookable + 1] = slot end
  end
end
local part = math.max(1, math.floor((#bookable - older) / (others + 1)))
if pace > 0 then part = older == 0 and 1 or 0 end
local won = math.max(0, math.min(ask.wanted, part, #bookable - older))
local reply = {0, 0, others, count, period}
for number = 1, won do
  local slot = bookable[older + number]
  local usable = math.max(slot.free, gate(), now)
  slot.usable, slot.free = slot.free, now + ask.lease + period
  slot.holder, slot.serial = ask.me, ask.serial
  put(slot)
  if pace > 0 then paced = usable + pace * period / count end
  reply[#reply + 1] = slot.id
  reply[#reply + 1] = math.ceil(usable - now)
end

set('count', text(count), 'period', text(period), 'pace', tostring(pace), 'server', server,
  'frozen', text(frozen), 'paced', text(paced), 'clock', text(now), 'sent', text(sent + won))

if won < ask.wanted then
  if won > 0 or not rank then
    redis.call('ZADD', QUEUE, text(now), ask.me)
    redis.call('EXPIRE', QUEUE, 86400 + math.ceil(2 * period / 1000000))
    rank = redis.call('ZRANK', QUEUE, ask.me)
  end
  local idle = idle_slots()
  local ask_in = math.max(due_of(rank) - now - ask.ahead, 5000)
  ask_in = math.min(ask_in, ask.heartbeat * (1 + math.floor(rank / #slots)))
  reply[1], reply[2] = math.ceil(ask_in), math.ceil(due_of(rank, true) - now)
  if rank < #idle then -- this is its call
    called[ask.me] = now + ask_in + ask.slack
    set('called:' .. ask.me, text(called[ask.me]))
  end
elseif rank then
  redis.call('ZREM', QUEUE, ask.me)
end
call_next()
return reply
