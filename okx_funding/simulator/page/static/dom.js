// Elements made without parsing text: whatever comes from a request stays text.

/** An element with attributes, and with children that are elements or text. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Set an element's text, but only where it differs, so that selections last. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Replace what an element holds, but only when the data behind it has changed: focus stays. */
export function render(element, data, make) {
  const seen = JSON.stringify(data);
  if (element.dataset.seen === seen) return;
  const focused = element.contains(document.activeElement)
    ? document.activeElement.dataset.focus : undefined;
  element.dataset.seen = seen;
  element.replaceChildren(...[make(data)].flat());
  if (focused) {
    const again = [...element.querySelectorAll("[data-focus]")]
      .find((it) => it.dataset.focus === focused);
    (again ?? element.querySelector("button"))?.focus();
  }
}

/** Fill a select with pairs of value and text, and keep what was chosen; in the beginning `first`. */
export function options(select, pairs, first = "") {
  const seen = JSON.stringify(pairs);
  if (select.dataset.seen === seen) return;
  const chosen = select.dataset.seen ? select.value : first;
  select.dataset.seen = seen;
  select.replaceChildren(...pairs.map(([value, text]) => h("option", { value }, text)));
  if (pairs.some(([value]) => value === chosen)) select.value = chosen;
}

/** Digits in groups of three, by text alone: a number of JavaScript would lose some. */
export function grouped(amount) {
  const [whole, fraction] = amount.split(".");
  const groups = whole.replace(/\B(?=(\d{3})+$)/g, "\u202f");
  return fraction === undefined ? groups : `${groups}.${fraction}`;
}

/** What an amount has become more or less than another, exactly: "+0.1", "−2". */
export function difference(now, was) {
  const places = Math.max(...[now, was].map((it) => it.split(".")[1]?.length ?? 0));
  const [a, b] = [now, was].map((it) => {
    const [whole, fraction = ""] = it.split(".");
    return BigInt(whole + fraction.padEnd(places, "0"));
  });
  const digits = (a > b ? a - b : b - a).toString().padStart(places + 1, "0");
  const cut = digits.length - places;
  const fraction = digits.slice(cut).replace(/0+$/, "");
  return (a < b ? "−" : "+") + grouped(digits.slice(0, cut)) + (fraction && `.${fraction}`);
}

const two = (n) => String(n).padStart(2, "0");

/** The time of day of milliseconds since the epoch. */
export function clock(ms, milliseconds = false) {
  const d = new Date(ms);
  const text = [d.getHours(), d.getMinutes(), d.getSeconds()].map(two).join(":");
  return milliseconds ? `${text}.${String(d.getMilliseconds()).padStart(3, "0")}` : text;
}

/** Seconds in the largest unit that fits. */
export function span(seconds) {
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= size) return `${Number((seconds / size).toFixed(1))} ${unit}`;
  }
  return `${Number(seconds.toFixed(1))} s`;
}
