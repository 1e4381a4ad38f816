// One tile of the dashboard: its card, its content, and its loading, empty and error states.

import { get } from "./api.js";
import { barChart, columnChart, summary, timeChart } from "./charts.js";
import { announce, make } from "./dom.js";
import { clockText, headline, numberText, unitOf } from "./format.js";
import { drawMap, fit, mapChart, zoomed } from "./map.js";
import { keyColumn, shape } from "./rows.js";
import { dataTable } from "./table.js";

const CHARTS = { looker_line: timeChart, looker_area: timeChart, looker_column: columnChart, looker_bar: barChart };
const MAP = "looker_google_map";
const VALUE = "single_value";
const ZOOM = 1.7;
const REDRAW_LAND_MS = 150;

export class Tile {
  // `actions`: pick(tile, column, value), showSql(tile), toggleTable(tile).
  constructor(definition, actions) {
    this.definition = definition;
    this.name = definition.name;
    this.actions = actions;
    this.answer = null;
    this.query = null;
    this.selected = undefined;
    this.isTable = false;
    this.view = null; // of a map: what the user has moved or zoomed to
    this.build();
    new ResizeObserver(() => this.resized()).observe(this.chart);
  }

  build() {
    const { definition, name } = this;
    const id = `tile-${name}`;
    this.caption = make("p", { class: "caption" });
    this.banner = make("p", { class: "banner", hidden: true });
    this.message = make("p", { class: "message", hidden: true });
    this.chart = make("div", { class: "chart", role: definition.type === VALUE ? null : "img" });
    this.table = make("div", { class: "table", hidden: true, tabindex: "0", role: "region", "aria-label": `Rows of ${definition.title}` });
    this.tableButton = make("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: () => this.actions.toggleTable(this) }, "Table");
    const sqlButton = make("button", { type: "button", class: "quiet", "aria-haspopup": "dialog", onclick: () => this.actions.showSql(this) }, "SQL");
    for (const button of [this.tableButton, sqlButton]) button.append(make("span", { class: "visually-hidden" }, ` of ${definition.title}`));
    const buttons = make("div", { class: "buttons" }, definition.type === VALUE ? null : this.tableButton, sqlButton);
    if (definition.type === MAP) buttons.prepend(...this.zoomButtons());
    this.body = make("div", { class: "body" }, this.chart, this.table, this.message);
    this.element = make("section", { class: "tile", id, "aria-labelledby": `${id}-title`, "data-type": definition.type, "data-state": "loading" },
      make("div", { class: "head" }, make("div", {}, make("h2", { id: `${id}-title`, title: definition.note || null }, definition.title), this.caption), buttons),
      this.body, this.banner);
    const { row, column, width, height } = definition;
    this.element.style.cssText = `--row:${row + 1};--column:${column + 1};--width:${width};--height:${height}`;
  }

  zoomButtons() {
    const button = (text, label, act) => make("button", { type: "button", class: "quiet", "aria-label": label, onclick: act }, text);
    return [
      button("+", "Zoom in", () => this.zoom(1 / ZOOM)),
      button("−", "Zoom out", () => this.zoom(ZOOM)),
      button("City", "Zoom to the next city, largest consumption first", () => this.showNextCity()),
      button("Fit", "Show all places", () => { this.view = null; this.draw(); }),
    ];
  }

  // Loads and shows the tile's rows for a query string; `selected`: the value that was clicked in this tile.
  async load(query, selected) {
    this.request?.abort();
    const request = (this.request = new AbortController());
    if (query !== this.query) this.element.dataset.state = this.answer ? "updating" : "loading";
    this.element.setAttribute("aria-busy", "true");
    try {
      const answer = await get(`/api/tiles/${encodeURIComponent(this.name)}?${query}`, request.signal);
      if (request.signal.aborted) return;
      const isSame = this.answer && selected === this.selected && query === this.query && JSON.stringify(answer.data) === JSON.stringify(this.answer.data);
      const wasGood = ["ready", "empty"].includes(this.element.dataset.state);
      if (query !== this.query) this.view = null;
      Object.assign(this, { answer, query, selected });
      this.banner.hidden = true;
      this.failedAt = null;
      if (!isSame || !wasGood) await this.draw();
      this.element.dataset.state = answer.rows ? "ready" : "empty";
    } catch (error) {
      if (request.signal.aborted) return;
      this.fail(error);
      if (error.isFinal) announce(`${this.definition.title}: ${error.message}`);
    } finally {
      if (!request.signal.aborted) this.element.removeAttribute("aria-busy");
    }
  }

  // Keeps the last good chart and says why there is no newer one.
  fail({ message, isFinal }) {
    this.failedAt ??= Date.now();
    this.canRetry = !isFinal;
    const since = this.answer ? ` Showing data from ${clockText(this.failedAt)}.` : ` Since ${clockText(this.failedAt)}.`;
    const text = message + since;
    if (this.banner.textContent !== text) this.banner.textContent = text;
    this.banner.hidden = false;
    this.element.dataset.state = "error";
  }

  get mayRecover() {
    return this.element.dataset.state === "error" && this.canRetry;
  }

  async draw() {
    const { answer, definition } = this;
    if (!answer) return;
    const { measures: [measure] } = shape(answer);
    this.setCaption(definition.type === VALUE ? [] : [unitText(measure), definition.note]);
    this.message.hidden = answer.rows > 0;
    this.message.textContent = answer.rows ? "" : "No readings match these filters.";
    this.chart.hidden = this.isTable || !answer.rows;
    this.table.hidden = !this.isTable || !answer.rows;
    this.tableButton.setAttribute("aria-pressed", String(this.isTable));
    this.showCut(answer);
    if (!answer.rows) return;
    if (this.isTable) {
      const focused = this.table.contains(document.activeElement) ? document.activeElement.textContent : null;
      this.table.replaceChildren(dataTable(definition, answer, keyColumn(answer), this.selected, (column, value) => this.actions.pick(this, column, value)));
      // The rows are new elements: keep the keyboard focus on the same row.
      [...this.table.querySelectorAll("button")].find((button) => button.textContent === focused)?.focus();
    } else if (definition.type === VALUE) this.drawValue(measure);
    else await this.drawChart();
  }

  // Up to three lines; the tooltip has the whole text.
  setCaption(parts) {
    this.caption.textContent = this.caption.title = parts.filter(Boolean).join(" · ");
  }

  showCut(answer) {
    this.element.querySelector(".cut")?.remove();
    if (answer.is_cut) this.element.append(make("p", { class: "cut" }, `Only the first ${answer.limit.toLocaleString("en-GB")} rows are shown. Narrow the filters to see the rest.`));
  }

  drawValue(measure) {
    const value = this.answer.data[measure.name][0];
    const [digits, unit] = headline(value, measure);
    this.chart.replaceChildren(make("p", { class: "value", title: numberText(value, measure) }, digits, unit ? make("span", { class: "unit" }, ` ${unit}`) : null));
  }

  async drawChart() {
    const { answer, chart, definition, selected } = this;
    chart.setAttribute("aria-label", summary(definition, answer));
    if (definition.type === MAP) {
      this.map = mapChart(definition, answer, chart, selected);
      await this.showMap(this.view ?? fit(this.map.bounds, chart.clientWidth, chart.clientHeight));
      return;
    }
    const draw = CHARTS[definition.type];
    if (!draw) throw new Error(`The preview cannot draw tiles of type ${definition.type}.`);
    const { data, layout, picks } = draw(definition, answer, chart.clientWidth, selected);
    this.picks = picks;
    await Plotly.react(chart, data, { ...layout, width: chart.clientWidth, height: chart.clientHeight }, { displayModeBar: false });
    this.listen();
  }

  async showMap(view) {
    const chart = this.chart;
    this.isDrawing = true;
    const { below, problem } = await drawMap(chart, this.map, view);
    this.isDrawing = false;
    this.picks = (trace, point) => (trace < below ? null : this.map.picks(trace - below, point));
    this.setCaption([unitText(this.map.measure), problem ? `Drawn without land: ${problem.message}` : this.map.size, this.definition.note]);
    this.listen();
  }

  zoom(factor) {
    this.view = zoomed(this.currentView(), factor);
    this.showMap(this.view);
  }

  showNextCity() {
    const { clientWidth, clientHeight } = this.chart;
    this.city = this.view && this.city !== undefined ? (this.city + 1) % this.map.cities.length : 0;
    this.view = fit(this.map.cities[this.city], clientWidth, clientHeight);
    this.showMap(this.view);
  }

  currentView() {
    const { xaxis, yaxis } = this.chart.layout;
    return [xaxis.range[0], yaxis.range[0], xaxis.range[1], yaxis.range[1]];
  }

  listen() {
    if (this.isListening) return;
    this.isListening = true;
    this.chart.on("plotly_click", ({ points: [point] }) => {
      const found = this.picks(point.curveNumber, point.pointIndex ?? point.pointNumber);
      if (found) this.actions.pick(this, found.column, found.value);
    });
    if (this.definition.type === MAP) {
      this.chart.on("plotly_relayout", () => {
        if (this.isDrawing) return;
        this.view = this.currentView();
        clearTimeout(this.landTimer);
        this.landTimer = setTimeout(() => this.showMap(this.currentView()), REDRAW_LAND_MS);
      });
    }
  }

  resized() {
    if (!this.answer?.rows || this.isTable || this.definition.type === VALUE || this.chart.hidden) return;
    const size = `${this.chart.clientWidth}x${this.chart.clientHeight}`;
    if (size !== this.size) requestAnimationFrame(() => this.draw());
    this.size = size;
  }
}

function unitText(measure) {
  return unitOf(measure) ? `${measure.label}, ${unitOf(measure)}` : measure.label;
}
