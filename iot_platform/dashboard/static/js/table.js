// The rows of a chart as a table, for screen readers and for people who prefer it to the chart. A click on a value of
// its first column filters all charts.

import { make } from "./dom.js";
import { cellText } from "./format.js";
import { opacity } from "./charts.js";

const SHOWN_ROWS = 500;

// `pick(column, value)` filters all charts by a value.
export function dataTable(tile, answer, pickable, selected, pick) {
  const head = make("tr", {}, ...answer.columns.map((column) => make("th", { scope: "col", class: column.is_measure ? "number" : null }, column.label)));
  const body = [...Array(Math.min(answer.rows, SHOWN_ROWS)).keys()].map((row) =>
    make("tr", {}, ...answer.columns.map((column) => {
      const value = answer.data[column.name][row];
      const text = cellText(value, column);
      if (column.field !== pickable?.field) return make("td", { class: column.is_measure ? "number" : null }, text);
      const isOn = selected !== undefined && opacity(value, column, selected) === 1;
      return make("th", { scope: "row" }, make("button", { type: "button", class: "link", "aria-pressed": String(isOn), title: "Filter all charts by this", onclick: () => pick(column, value) }, text));
    })));
  const caption = answer.rows > SHOWN_ROWS ? `${tile.title}: the first ${SHOWN_ROWS} of ${answer.rows} rows` : `${tile.title}: ${answer.rows} rows`;
  return make("table", {}, make("caption", {}, caption), make("thead", {}, head), make("tbody", {}, ...body));
}
