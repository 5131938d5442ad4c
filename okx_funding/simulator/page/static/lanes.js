// A lane for each limit: requests enter at the right and slide to the left, out of the window.

import { byId, h, say, span } from "./dom.js";

const SHOWN = 2.5; // a lane shows this many windows, so that what has left one is seen a while
const MOST_LANES = 40;
const MOST_DOTS = 120;

const lanes = new Map();
let names = new Map();

/** Forget all lanes: the exchange's log was cleared. */
export function clearLanes() {
  for (const lane of lanes.values()) lane.element.remove();
  lanes.clear();
}

/** Take up the state's arrivals, and have every lane say how full its window is. */
export function showLanes(state) {
  names = new Map(state.users.map((user) => [user.uid, user.name || `user ${short(user.uid)}`]));
  for (const arrival of state.arrivals) {
    const mine = arrival.lanes.map((id) => lanes.get(id) ?? make(id, state.lanes[id]));
    // Of several limits, the one that is full has refused.
    const full = mine.filter((lane) => used(lane, arrival.at) >= lane.count);
    const refusing = new Set(full.length ? full : mine);
    for (const lane of mine) {
      if (arrival.refused && !refusing.has(lane)) continue;
      add(lane, arrival, state.now);
    }
  }
  for (const lane of lanes.values()) update(lane, state.now);
  byId("lanes").classList.toggle("empty", lanes.size === 0);
  if (lanes.size === 0 && !byId("lanes-empty")) {
    byId("lanes").append(h("p", { id: "lanes-empty", class: "hint" },
      "No request has come yet. Point your bot to ", h("span", { class: "mono" }, location.origin), "."));
  } else if (lanes.size) byId("lanes-empty")?.remove();
}

export const short = (uid) => (uid.length > 10 ? `…${uid.slice(-6)}` : uid);

function make(id, about) {
  const track = h("div", { class: "track", "aria-hidden": "true" }, h("div", { class: "window" }));
  track.style.setProperty("--span", `${about.period * SHOWN}s`);
  track.style.setProperty("--window", `${100 / SHOWN}%`);
  const fill = h("span", { class: "fill" });
  const count = h("span", { class: "count" });
  const note = h("span", { class: "note" });
  const who = about.who === "address" ? "by address" : names.get(about.who) ?? about.who;
  const element = h("div", { class: "lane" },
    h("div", { class: "lane-head" },
      h("span", { class: "lane-name" }, about.endpoint),
      h("span", { class: "lane-who" }, [who, about.of].filter(Boolean).join(" · ")),
      h("span", { class: "lane-limit" }, about.limit)),
    track,
    h("div", { class: "lane-foot" }, h("span", { class: "gauge", "aria-hidden": "true" }, fill), count, note));
  const lane = { ...about, element, track, fill, countText: count, note, times: [], peak: 0, refused: 0, last: 0 };
  lanes.set(id, lane);
  byId("lanes").append(element);
  if (lanes.size > MOST_LANES) {
    const [oldest, its] = [...lanes].reduce((a, b) => (b[1].last < a[1].last ? b : a));
    its.element.remove();
    lanes.delete(oldest);
  }
  return lane;
}

function used(lane, now) {
  let n = 0;
  for (let i = lane.times.length - 1; i >= 0 && now < lane.times[i] + lane.period; i -= 1) n += 1;
  return n;
}

function add(lane, arrival, now) {
  lane.last = arrival.at;
  if (arrival.refused) lane.refused += 1;
  else {
    lane.times.push(arrival.at);
    if (lane.times.length > 2 * lane.count + 50) lane.times.splice(0, lane.times.length - lane.count - 25);
    lane.peak = Math.max(lane.peak, used(lane, arrival.at));
  }
  const age = Math.max(now - arrival.at, 0);
  if (age >= lane.period * SHOWN) return;
  const kind = arrival.refused ? "refused" : arrival.fault ? "faulty" : "admitted";
  const dot = h("div", { class: `dot ${kind}` });
  dot.style.animationDelay = `${-age}s`;
  dot.addEventListener("animationend", () => dot.remove());
  lane.track.append(dot);
  while (lane.track.childElementCount > MOST_DOTS) lane.track.children[1].remove();
}

function update(lane, now) {
  const n = used(lane, now);
  lane.fill.style.width = `${Math.min(100, (100 * n) / lane.count)}%`;
  lane.fill.classList.toggle("full", n >= lane.count);
  say(lane.countText, `${n} of ${lane.count} in ${span(lane.period)}`);
  say(lane.note, `${lane.refused ? `${lane.refused} refused · ` : ""}most ${lane.peak}`);
  lane.note.classList.toggle("bad", lane.refused > 0);
}
