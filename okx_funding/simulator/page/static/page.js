// Asks the exchange for its state four times a second while somebody looks, and shows it.

import { byId, clock, h, options, render, say, span } from "./dom.js";
import { clearLanes, short, showLanes } from "./lanes.js";
import { names, showMoney } from "./money.js";

const EVERY = 250;
const PATIENCE = 5000;
const LOG = 200;
const token = document.querySelector("meta[name=page-token]").content;

let epoch = 0;
let next = 0;
let failures = 0;
let timer = 0;
let asking = false;

// --- following -------------------------------------------------------------------------------

async function follow() {
  clearTimeout(timer);
  if (document.hidden || asking) return;
  asking = true;
  try {
    const answer = await fetch(`/_page/state?since=${next}&epoch=${epoch}`,
      { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (!answer.ok) throw new Error(`status ${answer.status}: ${await answer.text()}`);
    show(await answer.json());
    failures = 0;
    live(true, "live");
  } catch (error) {
    failures += 1;
    // One failure may be a connection that was dropped on purpose.
    if (failures > 1) live(false, `no answer: is the exchange still running? (${error.message})`);
  } finally {
    asking = false;
    clearTimeout(timer);
    timer = setTimeout(follow, failures > 1 ? 1000 : EVERY);
  }
}

function live(good, words) {
  const element = byId("live");
  element.classList.toggle("good", good);
  element.classList.toggle("bad", !good);
  say(element, words);
}

document.addEventListener("visibilitychange", () => follow());

function show(state) {
  if (state.epoch !== epoch) {
    clearLanes();
    byId("log").replaceChildren();
    epoch = state.epoch;
  }
  next = state.next;
  say(byId("address"), location.host);
  say(byId("time"), clock(state.time) + (state.advanced ? ` (${span(state.advanced)} ahead)` : ""));
  say(byId("judge"), state.judge);
  for (const name of ["requests", "refused", "faults"]) say(byId(name), String(state[name]));
  byId("refused").classList.toggle("bad", state.refused > 0);
  showForms(state);
  showMoney(state, act);
  showLanes(state);
  showLog(state);
}

function showForms(state) {
  const called = names(state.users);
  options(document.querySelector("#deposit [name=user]"), [...called]);
  options(document.querySelector("#deposit [name=chain]"),
    state.chains.map((it) => [`${it.ccy}/${it.chain}`, it.chain]));
  options(document.querySelector("#lose [name=endpoint]"),
    [["", "any request"], ...state.endpoints.map((it) => [it, it])]);
  options(document.querySelector("#chain [name=chain]"),
    state.chains.map((it) => [it.chain, it.works ? it.chain : `${it.chain} (suspended)`]));
  suspended = new Set(state.chains.filter((it) => !it.works).map((it) => it.chain));
  showChain();
  const off = [...suspended];
  say(byId("suspended"), off.length ? `Suspended: ${off.join(", ")}` : "All chains work.");
  render(byId("ordered"), [state.ordered, state.outage], () => {
    const coming = state.ordered.map((it) =>
      h("li", {}, `next ${it.endpoint ?? "request"}: ${it.fault}`));
    if (state.outage) coming.unshift(h("li", { class: "bad" }, "outage: everything is answered with 503"));
    return coming.length ? coming : h("li", { class: "hint" }, "No faults are to come.");
  });
  byId("outage").setAttribute("aria-pressed", String(state.outage));
  say(byId("outage"), state.outage ? "End the outage" : "Outage");
}

let suspended = new Set();

function showChain() {
  const off = suspended.has(document.querySelector("#chain [name=chain]").value);
  say(byId("chain-button"), off ? "Resume the chain" : "Suspend the chain");
}

function showLog(state) {
  const log = byId("log");
  const called = names(state.users);
  for (const it of state.arrivals) {
    const bad = it.refused || (it.code !== "0" && it.code !== "");
    const kind = it.refused ? "refused" : it.fault ? "faulty" : bad || it.status >= 400 ? "failed" : "ok";
    const at = state.time - (state.now - it.at) * 1000;
    const path = it.target.replace("/api/v5/", "");
    const verdict = { refused: "✕ refused", faulty: "⚡ fault", failed: "! error", ok: "✓" }[kind];
    const why = [
      it.refused ? it.reason : it.reason && `${it.code || it.status}: ${it.reason}`,
      it.fault && `fault: ${it.fault}`,
    ].filter(Boolean).join(" · ");
    log.prepend(h("li", { class: kind },
      h("span", { class: "mono dim" }, clock(at, true)),
      h("span", { class: "verdict" }, verdict),
      h("span", { class: "what" }, h("strong", {}, it.endpoint), " ",
        h("span", { class: "mono dim" }, `${it.method} ${path}`),
        it.user ? h("span", { class: "dim" }, ` · ${called.get(it.user) ?? short(it.user)}`) : null,
        why ? h("span", { class: "why" }, why) : null)));
  }
  while (log.childElementCount > LOG) log.lastElementChild.remove();
  if (log.childElementCount === 0) log.append(h("li", { class: "hint none" }, "None yet."));
  else if (log.childElementCount > 1) log.querySelector(".none")?.remove();
}

// --- acting ----------------------------------------------------------------------------------

let hide = 0;

function notice(id, words) {
  clearTimeout(hide);
  byId("done").hidden = byId("error").hidden = true;
  byId(id).hidden = false;
  byId(id).textContent = words;
  if (id === "done") hide = setTimeout(() => { byId("done").hidden = true; }, 6000);
}

async function act(wanted) {
  try {
    const answer = await fetch("/_page/act", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Page-Token": token },
      body: JSON.stringify(wanted),
      signal: AbortSignal.timeout(PATIENCE),
    });
    const said = await answer.json();
    if (answer.ok) notice("done", said.done);
    else notice("error", said.error);
  } catch (error) {
    notice("error", `That was not done, or its answer is lost: ${error.message}`);
  }
  follow();
}

function onSubmit(id, make) {
  byId(id).addEventListener("submit", (event) => {
    event.preventDefault();
    act(make(Object.fromEntries(new FormData(event.target, event.submitter))));
  });
}

onSubmit("deposit", ({ chain, ...rest }) => {
  const [ccy, ...name] = chain.split("/");
  return { do: "deposit", ...rest, ccy, chain: name.join("/") };
});
onSubmit("lose", (given) => ({ do: "lose", ...given }));
onSubmit("advance", (given) => ({ do: "advance", ...given }));
onSubmit("chain", ({ chain }) => ({ do: "chain", chain, works: suspended.has(chain) }));
byId("chain").addEventListener("change", showChain);
byId("drop").addEventListener("click", () => act({ do: "drop" }));
byId("calm").addEventListener("click", () => act({ do: "calm" }));
byId("outage").addEventListener("click", () =>
  act({ do: "outage", on: byId("outage").getAttribute("aria-pressed") !== "true" }));
byId("only").addEventListener("change", (event) =>
  byId("log").classList.toggle("only-bad", event.target.checked));

follow();
