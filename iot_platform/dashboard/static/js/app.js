// The page: builds itself from the dashboard's definition, keeps its state in the URL, and follows the data.

import { get } from "./api.js";
import { knownTypes, setTypes, themeName, typeColor } from "./colors.js";
import { hideSql, setUpDialog, showSql } from "./dialog.js";
import { announce, make } from "./dom.js";
import { toValues } from "./expressions.js";
import { closeFilters, filterControl } from "./filters.js";
import { clockText, exactly, nameText, quoteText, textOf, WEEKDAYS } from "./format.js";
import { readState, tileQuery, writeState } from "./state.js";
import { Tile } from "./tile.js";

const POLL_MS = 2000;
const find = (id) => document.getElementById(id);

let state = readState();
let tiles = [];
let controls = new Map();
let definition = null;
let version = null;
let awaySince = null;

async function start() {
  setUpDialog(() => change({ sql: null }, null, false));
  find("theme").addEventListener("click", () => change({ theme: themeName() === "dark" ? "light" : "dark" }, null, false));
  find("filters").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("popstate", () => { state = readState(); show(); });
  document.addEventListener("click", (event) => closeFilters(find("filters"), event.target));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || find("sql").open) return;
    if (!closeFilters(find("filters")) && Object.keys(state.cross).length) clearCross();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (!state.theme) showTheme(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
  showTheme(false);
  await poll();
}

async function build() {
  definition = await get("/api/dashboard");
  document.title = definition.title;
  find("title").textContent = definition.title;
  find("database").textContent = `(database ${definition.database})`;
  controls = new Map(definition.filters.map((filter) => [filter.name, filterControl(filter, setFilter)]));
  find("filters").replaceChildren(...[...controls.values()].map((control) => control.element));
  tiles = definition.tiles.map((tile) => new Tile(tile, { pick, showSql: openSql, toggleTable }));
  find("tiles").replaceChildren(...tiles.map((tile) => tile.element));
  show(false);
}

// Building types get their colours before the first chart is drawn.
async function loadTypes() {
  const filter = typeFilter();
  if (!filter) return;
  const { values } = await get(`/api/suggest?filter=${encodeURIComponent(filter.name)}`);
  if (values.filter((name) => name !== "unknown").join() !== knownTypes().join()) setTypes(values);
  showLegend();
}

function typeFilter() {
  return definition.filters.find((filter) => filter.field.endsWith(".building_type"));
}

let timer = null;
let isPolling = false;

async function poll() {
  if (isPolling) return;
  isPolling = true;
  clearTimeout(timer);
  try {
    if (!definition) await build();
    const found = await get("/api/version");
    const isBack = awaySince !== null;
    const isNew = found.version !== version;
    if (isBack) announce("The data is back");
    awaySince = null;
    if (isNew || isBack || !knownTypes().length) await loadTypes();
    version = found.version;
    showStatus("live", found.changed_at ? `Live · data changed ${ago(found.changed_at * 1000)}` : "Live · no data yet");
    if (isNew || isBack) reload();
    else tiles.filter((tile) => tile.mayRecover).forEach(loadTile);
  } catch (error) {
    if (awaySince === null) announce(error.message);
    awaySince ??= Date.now();
    showStatus("away", `Unreachable since ${clockText(awaySince)} · retrying`);
    if (definition) tiles.forEach((tile) => tile.fail(error));
    else find("tiles").replaceChildren(make("p", { class: "fatal", role: "alert" }, error.message));
  } finally {
    isPolling = false;
    if (!document.hidden) timer = setTimeout(poll, POLL_MS);
  }
}

function ago(milliseconds) {
  const seconds = Math.max(0, Math.round((Date.now() - milliseconds) / 1000));
  if (seconds < 5) return "just now";
  if (seconds < 120) return `${seconds} s ago`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min ago` : `${Math.round(seconds / 3600)} h ago`;
}

function showStatus(kind, text) {
  find("status").dataset.state = kind;
  if (find("status-text").textContent !== text) find("status-text").textContent = text;
}

function loadTile(tile) {
  const selected = state.from === tile.name ? Object.values(state.cross)[0] : undefined;
  return tile.load(tileQuery(state, tile), selected);
}

function reload() {
  return Promise.all(tiles.map(loadTile));
}

// After a change by the user: update the URL and the page, and announce it to screen readers.
function change(changes, announcement, reloads = true) {
  state = { ...state, ...changes };
  writeState(state);
  show(reloads);
  if (announcement) announce(announcement);
}

function show(reloads = true) {
  for (const filter of definition?.filters ?? []) controls.get(filter.name).show(state.filters[filter.name] ?? filter.default ?? "");
  showTheme();
  showChips();
  showLegend();
  for (const tile of tiles) {
    const isTable = state.tables.has(tile.name);
    if (tile.isTable !== isTable) {
      tile.isTable = isTable;
      tile.draw();
    }
  }
  const open = tiles.find((tile) => tile.name === state.sql);
  if (open) showSql(open.definition, open.answer);
  else hideSql();
  if (reloads) reload();
}

function showTheme(redraws = true) {
  const theme = state.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const isNew = theme !== themeName();
  document.documentElement.dataset.theme = theme;
  find("theme").setAttribute("aria-pressed", String(theme === "dark"));
  find("theme").textContent = "Dark";
  if (isNew && redraws) {
    tiles.forEach((tile) => tile.draw());
    showLegend();
  }
}

function setFilter(name, expression) {
  const filter = definition.filters.find((known) => known.name === name);
  const filters = { ...state.filters, [name]: expression };
  if (expression === (filter.default ?? "")) delete filters[name];
  // Earlier clicks may contradict the new choice.
  const cross = { ...state.cross };
  delete cross[filter.field];
  change({ filters, cross }, `${filter.title}: ${expression || "all"}`);
}

function pick(tile, column, value) {
  const expression = exactly(value, column);
  if (state.from === tile.name && state.cross[column.field] === expression) clearCross();
  else change({ cross: { [column.field]: expression }, from: tile.name }, `All charts show ${chipText(column.field, expression)}`);
}

function clearCross() {
  change({ cross: {}, from: null }, "Cross-filter cleared");
}

function toggleTable(tile) {
  const tables = new Set(state.tables);
  if (!tables.delete(tile.name)) tables.add(tile.name);
  change({ tables }, null, false);
}

function openSql(tile) {
  change({ sql: tile.name }, null, false);
}

function chipText(field, expression) {
  const name = nameText(field.split(".").at(-1)).replace(" index", "");
  if (field.endsWith("day_of_week_index")) return `${name}: ${WEEKDAYS[expression]}`;
  const isPlace = /^-?[\d.]+, -?[\d.]+$/.test(expression);
  return `${name}: ${isPlace ? expression : textOf(field)(toValues(expression)[0] ?? expression)}`;
}

function showChips() {
  const chips = Object.entries(state.cross).map(([field, expression]) => {
    const text = chipText(field, expression);
    return make("button", { type: "button", class: "chip", "aria-label": `Clear the filter ${text}`, onclick: clearCross }, text, make("span", { "aria-hidden": "true" }, " ×"));
  });
  find("chips").hidden = chips.length === 0;
  find("chips").replaceChildren(...chips);
}

function showLegend() {
  const types = knownTypes();
  const field = definition && typeFilter()?.field;
  find("legend").hidden = !field || types.length < 2;
  if (!field) return;
  const focused = document.activeElement?.dataset?.type;
  find("legend").replaceChildren(...types.map((name) => {
    const expression = quoteText(name);
    const isOn = state.cross[field] === expression;
    const toggle = () => (isOn ? clearCross() : change({ cross: { [field]: expression }, from: null }, `All charts show ${nameText(name)}`));
    const swatch = make("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.background = typeColor(name);
    return make("button", { type: "button", class: "quiet", "data-type": name, "aria-pressed": String(isOn), onclick: toggle }, swatch, nameText(name));
  }));
  if (focused) find("legend").querySelector(`[data-type="${CSS.escape(focused)}"]`)?.focus();
}

start();
