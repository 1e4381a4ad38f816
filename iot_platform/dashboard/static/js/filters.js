// The controls above the charts: a period, and values to choose from.

import { get } from "./api.js";
import { make } from "./dom.js";
import { textOf } from "./format.js";
import { toDays, toExpression, toPeriod, toValues } from "./expressions.js";

const SHOWN_VALUES = 60;
const CUSTOM = "custom";
const PERIODS = ["this day", "7 day", "30 day", "90 day", "12 month"];

// Calls `change(name, expression)` when the user chooses something. Returns {element, show(expression)}.
export function filterControl(filter, change) {
  return isPeriod(filter) ? periodControl(filter, change) : valuesControl(filter, change);
}

function isPeriod(filter) {
  return /_(date|time|hour|week|month)$/.test(filter.field);
}

function periodControl(filter, change) {
  const id = `filter-${filter.name.replaceAll(/\W/g, "-")}`;
  const offered = filter.options.length ? filter.options : PERIODS;
  const known = [...new Set([...offered, filter.default])].filter(Boolean);
  const select = make("select", { id }, ...known.map((value) => make("option", { value }, periodText(value))),
    filter.is_required ? null : make("option", { value: "" }, "All time"), make("option", { value: CUSTOM }, "From … to …"));
  const other = make("option", { value: "other", hidden: true });
  select.append(other);
  const [first, last] = ["First day", "Last day"].map((label) => make("input", { type: "date", "aria-label": `${filter.title}: ${label.toLowerCase()}` }));
  const days = make("span", { class: "days", hidden: true }, first, make("span", { "aria-hidden": "true" }, "–"), last);
  const sendDays = () => {
    first.max = last.value;
    last.min = first.value;
    if (first.value && last.value && first.value <= last.value) change(filter.name, toPeriod(first.value, last.value));
  };
  first.addEventListener("change", sendDays);
  last.addEventListener("change", sendDays);
  select.addEventListener("change", () => {
    days.hidden = select.value !== CUSTOM;
    if (select.value === CUSTOM) first.focus();
    else change(filter.name, select.value);
  });
  const show = (expression) => {
    const span = toDays(expression);
    if (span) [first.value, last.value] = span;
    const listed = [...select.options].some((option) => option.value === expression && option !== other);
    other.textContent = expression;
    other.hidden = true;
    select.value = span ? CUSTOM : listed ? expression : "other";
    days.hidden = !span;
  };
  return { element: make("div", { class: "filter" }, make("label", { for: id }, filter.title), make("div", { class: "row" }, select, days)), show };
}

// "7 day" -> "Last 7 days"; any other expression is shown as it is.
function periodText(expression) {
  const [count, unit] = expression.split(" ");
  if (expression === "this day") return "Today";
  return /^\d+$/.test(count) && unit ? `Last ${count} ${unit.replace(/s?$/, "s")}` : expression.replace(/^./, (first) => first.toUpperCase());
}

// Meter 2 comes before meter 10.
const naturalOrder = new Intl.Collator("en", { numeric: true }).compare;

function valuesControl(filter, change) {
  const title = make("span", { class: "filter-title" }, filter.title);
  const chosenText = make("span", { class: "chosen" }, "All");
  const search = make("input", { type: "search", placeholder: "Search", "aria-label": `Search ${filter.title}`, autocomplete: "off" });
  const list = make("ul", { "aria-label": filter.title });
  const note = make("p", { class: "hint", role: "status" });
  const clear = make("button", { type: "button", class: "quiet" }, "All");
  const details = make("details", { class: "filter values" }, make("summary", {}, title, chosenText),
    make("div", { class: "popup" }, search, list, note, clear));
  const shown = textOf(filter.field);
  let chosen = [];
  let known = null;

  const send = (values) => {
    chosen = values;
    change(filter.name, toExpression(values));
    showChosen();
  };
  const toggle = (value, on) => {
    const rest = filter.allow_multiple === false ? [] : chosen.filter((other) => other !== value);
    send(on ? [...rest, value] : rest);
  };
  const showChosen = () => {
    chosenText.textContent = chosen.length === 0 ? "All" : chosen.length <= 2 ? chosen.map(shown).join(", ") : `${chosen.length} chosen`;
    details.classList.toggle("active", chosen.length > 0);
    clear.disabled = chosen.length === 0;
  };
  const showList = () => {
    const text = search.value.trim().toLowerCase();
    const matching = [...new Set([...chosen, ...(known ?? [])])].filter((value) => shown(value).toLowerCase().includes(text) || value.toLowerCase().includes(text));
    list.replaceChildren(...matching.slice(0, SHOWN_VALUES).map((value) =>
      make("li", {}, make("label", {}, make("input", { type: "checkbox", ...(chosen.includes(value) ? { checked: true } : {}), onchange: (event) => toggle(value, event.target.checked) }), shown(value)))));
    note.textContent = known === null ? "Loading" : matching.length > SHOWN_VALUES ? `${matching.length - SHOWN_VALUES} more. Type to search.` : matching.length ? "" : "No match. Press Enter to use this text.";
  };
  const loadList = async () => {
    showList();
    try {
      known = (await get(`/api/suggest?filter=${encodeURIComponent(filter.name)}`)).values.map(String).sort(naturalOrder);
      showList();
    } catch (error) {
      note.textContent = error.message;
    }
  };
  details.addEventListener("toggle", () => {
    if (!details.open) return;
    search.value = "";
    search.focus();
    loadList();
  });
  search.addEventListener("input", showList);
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    const first = list.querySelector("input");
    if (first) first.click();
    else if (search.value.trim()) send([...chosen, search.value.trim()]);
  });
  clear.addEventListener("click", () => { send([]); showList(); });
  const show = (expression) => {
    chosen = toValues(expression);
    showChosen();
    if (details.open) showList();
  };
  return { element: details, show };
}

// A click elsewhere or Escape closes what is open; true when something was.
export function closeFilters(form, target = null) {
  const open = [...form.querySelectorAll("details[open]")].filter((details) => !details.contains(target));
  for (const details of open) {
    details.open = false;
    if (!target) details.querySelector("summary").focus();
  }
  return open.length > 0;
}
