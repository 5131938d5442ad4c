// Accounts with their balances, deposits and withdrawals with their buttons, and what was moved.

import { byId, clock, grouped, h, render } from "./dom.js";
import { short } from "./lanes.js";

const before = new Map(); // "uid/ccy/account" -> amount, to show what has changed

/** What a user is called: a sub-account by its name, a user by the end of the user id. */
export function names(users) {
  return new Map(users.map((user) =>
    [user.uid, user.main ? `${user.name} of ${short(user.main)}` : `user ${short(user.uid)}`]));
}

export function showMoney(state, act) {
  const called = names(state.users);
  showAccounts(state, called);
  render(byId("open"), [state.open, state.more_open, [...called]], () => state.open.length
    ? [...state.open.map((it) => record(it, called, act)), more(state.more_open, "more are open")]
      .filter(Boolean)
    : h("p", { class: "hint" }, "None. Let a deposit arrive, or have your bot withdraw."));
  byId("closed-details").hidden = state.closed.length === 0;
  render(byId("closed"), [state.closed, [...called]],
    () => state.closed.map((it) => record(it, called, null)));
  render(byId("movements"), state.movements, movements);
}

const more = (n, words) => (n ? h("p", { class: "hint" }, `${n} ${words}`) : null);

function showAccounts(state, called) {
  const changed = new Map();
  for (const user of state.users) {
    for (const row of user.balances) {
      for (const account of ["funding", "trading"]) {
        const key = `${user.uid}/${row.ccy}/${account}`;
        const was = before.get(key);
        if (was !== undefined && was !== row[account]) changed.set(key, was);
        before.set(key, row[account]);
      }
    }
  }
  render(byId("accounts"), [state.users, state.more_users], () => [
    ...state.users.map((user) => account(user, called, changed)),
    more(state.more_users, "more accounts aren't shown"),
  ].filter(Boolean));
}

function account(user, called, changed) {
  const cell = (row, name) => {
    const was = changed.get(`${user.uid}/${row.ccy}/${name}`);
    const attributes = { class: "amount" };
    if (was !== undefined) attributes.class += " changed";
    return h("td", { ...attributes, "data-balance": `${user.uid}/${row.ccy}/${name}`,
      title: was === undefined ? null : `was ${was}` }, grouped(row[name]));
  };
  return h("article", { class: user.main ? "account sub" : "account" },
    h("h3", {}, called.get(user.uid), " ", h("span", { class: "mono dim" }, user.uid)),
    user.balances.length === 0 ? h("p", { class: "hint" }, "Nothing yet.")
      : h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Currency"),
          h("th", { scope: "col", class: "amount" }, "Funding"),
          h("th", { scope: "col", class: "amount" }, "Trading"))),
        h("tbody", {}, ...user.balances.map((row) => h("tr", {},
          h("th", { scope: "row" }, row.ccy), cell(row, "funding"), cell(row, "trading"))))));
}

function record(it, called, act) {
  const body = { kind: it.kind, id: it.id, user: it.user };
  const of = `${it.kind} ${it.id}`;
  const buttons = act === null ? null : h("div", { class: "buttons" },
    h("button", { class: "primary small", "data-focus": `next ${of}`, "aria-label": `${it.next} ${of}`,
      onclick: () => act({ do: "next", ...body }) }, it.next),
    it.can_fail ? h("button", { class: "danger small", "data-focus": `fail ${of}`,
      "aria-label": `Let ${of} fail`, onclick: () => act({ do: "fail", ...body }) }, "Fail") : null);
  const details = [it.chain, called.get(it.user) ?? short(it.user), clock(it.time),
    it.client_id && `id ${it.client_id}`];
  return h("article", { class: `record ${it.kind}` },
    h("div", { class: "record-text" },
      h("p", {}, h("strong", {}, `${it.kind === "deposit" ? "+" : "−"} ${grouped(it.amt)} ${it.ccy}`),
        " ", h("span", { class: `state state-${it.state === "-1" || it.state === "12" ? "bad" : "ok"}` }, it.words)),
      h("p", { class: "dim" }, `${it.kind} ${it.id} · ${details.filter(Boolean).join(" · ")}`)),
    buttons);
}

function movements(rows) {
  if (rows.length === 0) {
    return h("p", { class: "hint" }, "None. Transfers, withdrawals and conversions of your bot show here, each once.");
  }
  return h("ul", { class: "movements" }, ...rows.map((it) => h("li", { class: it.undone ? "undone" : null },
    h("span", { class: "mono dim" }, clock(it.time)), " ", h("strong", {}, `${grouped(it.amount)} ${it.ccy}`), " ",
    it.kind, it.client_id ? h("span", { class: "mono dim" }, ` id ${it.client_id}`) : null,
    it.undone ? h("span", { class: "state state-bad" }, "came back") : null)));
}
