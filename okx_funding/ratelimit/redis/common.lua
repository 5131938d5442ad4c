-- What all scripts begin with. ARGV[1] is what is asked, in JSON. Moments and spans are whole
-- microseconds of this server's clock, exact in doubles until 2255. The keys of a bucket:
--
--   KEYS[1], a hash:
--     slot:ID            FREE, or FREE PROCESS SERIAL USABLE while it is held: when it is free again,
--                        who holds it, which ask of that process won it, and from when it may be used
--     called:PROCESS     until when a process that waits has to come: it was told that it is next
--     count period pace  the limit in force: what keeps all claims that have not expired
--     frozen paced       before these moments nobody may use a slot
--     sent refused       requests since the bucket was made
--     clock offset       the last moment seen, and by how much the server's clock went back so far
--     server             the run id of the server that knew this
--     review             when the claims are to be looked at again, at the latest
--     moved              the format in which the bucket is kept now, if that isn't this one
--   KEYS[2], a sorted set: the processes that wait, by the moment since when
--   KEYS[3], a hash:
--     PROCESS            COUNT PERIOD PACE SPEAKS EXPIRES SERIAL: the limit it wants, PERIOD in
--                        seconds, the highest format it understands, its last ask

local ask = cjson.decode(ARGV[1])
local BUCKET, QUEUE, CLAIMS = KEYS[1], KEYS[2], KEYS[3]
local slots, called, field = {}, {}, {}

local function text(number) return string.format('%.0f', number) end
local function set(...) redis.call('HSET', BUCKET, ...) end
local function split(line)
  local parts = {}
  for part in string.gmatch(line, '%S+') do parts[#parts + 1] = part end
  return parts
end

local hash = redis.call('HGETALL', BUCKET)
for i = 1, #hash, 2 do
  local kind, name = string.match(hash[i], '^(%a+):(.+)$')
  if kind == 'slot' then
    local parts = split(hash[i + 1])
    slots[#slots + 1] = {
      id = name, free = tonumber(parts[1]),
      holder = parts[2], serial = tonumber(parts[3]), usable = tonumber(parts[4])
    }
  elseif kind == 'called' then
    called[name] = tonumber(hash[i + 1])
  elseif hash[i] == 'server' then
    field.server = hash[i + 1]
  else
    field[hash[i]] = tonumber(hash[i + 1])
  end
end

-- A clock that was set back must not hold slots for as long: time goes on from where it was.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2]) + (field.offset or 0)
if now < (field.clock or 0) then
  set('offset', text((field.offset or 0) + field.clock - now))
  now = field.clock
end

local count, period, pace = field.count, field.period, field.pace or 0
local frozen, paced = field.frozen or 0, field.paced or 0

-- Who holds a slot has it for its lease; then it is free as if a request had just been seen.
local function held(slot) return slot.holder and slot.free - period > now end

local function mine(slot, serial)
  return slot and slot.holder == ask.me and slot.serial == serial
end

local function put(slot)
  local by = slot.holder and string.format(' %s %.0f %.0f', slot.holder, slot.serial, slot.usable)
  set('slot:' .. slot.id, text(slot.free) .. (by or ''))
end

local function in_order()
  table.sort(slots, function(a, b)
    return a.free < b.free or (a.free == b.free and a.id < b.id)
  end)
end

local function gate() return pace > 0 and math.max(frozen, paced) or frozen end

-- When whoever has so many others before it gets a slot: at the latest, which is for sure if those
-- who hold one are alive; or, hopefully, if all that is held comes back as soon
-- as it can.
local function due_of(before, hopefully)
  local frees = {}
  for place, slot in ipairs(slots) do
    frees[place] = slot.free
    if hopefully and held(slot) then
      frees[place] = math.min(slot.free, math.max(now, slot.usable) + period)
    end
  end
  table.sort(frees)
  local round = math.floor(before / #slots)
  local due = math.max(frees[before % #slots + 1], now) + round * period
  return math.max(due, gate() + before * pace * period / count)
end

local function idle_slots()
  in_order()
  local idle = {}
  for _, slot in ipairs(slots) do
    if not held(slot) then idle[#idle + 1] = slot end
  end
  return idle
end

local function leave_queue(name)
  redis.call('ZREM', QUEUE, name)
  if called[name] then
    redis.call('HDEL', BUCKET, 'called:' .. name)
    called[name] = nil
  end
end

-- As many of those who wait as there are slots that nobody holds are told when to come, the others
-- nothing. Who hears nothing is gone, and whoever did not come in time gets no second call.
local function call_next()
  if #slots == 0 then return end
  local idle, place = idle_slots(), 0
  while place < #idle do
    local name = redis.call('ZRANGE', QUEUE, place, place)[1]
    if not name then return end
    local usable = math.max(idle[place + 1].free, gate() + place * pace * period / count, now)
    local ask_in = math.max(0, usable - now - ask.ahead)
    local latest = now + ask_in + ask.slack
    if called[name] and called[name] < now then
      leave_queue(name)
    elseif called[name] and called[name] <= latest + 1000 then
      place = place + 1
    elseif redis.call('PUBLISH', ask.channel .. name, 'call ' .. text(ask_in) .. ' ' .. BUCKET) == 0 then
      leave_queue(name)
    else
      called[name] = latest
      set('called:' .. name, text(latest))
      place = place + 1
    end
  end
end
