// Lines, areas, columns and bars. Each function returns {data, layout} for Plotly and `picks`: what a click on a
// point means ({column, value} by trace and point), or null.

import { themeColors, typeColor } from "./colors.js";
import { plotHover, plotLabel } from "./escape.js";
import { cellText, exactly, nameText, numberText, unitOf, valueText } from "./format.js";
import { pick, series, shape } from "./rows.js";

const LABELLED_BARS = 14;
// Least height of a band with a label, as a share of the chart's height.
const LABELLED_BAND = 0.06;
const WIDE_PX = 640;
const DIGIT_PX = 7.5;
const FADED = 0.3;
const DAY_MS = 86_400_000;
const TIME_TICKS = [
  { dtickrange: [null, DAY_MS - 1], value: "%H:%M\n%-d %b" },
  { dtickrange: [DAY_MS, "M1"], value: "%-d %b\n%Y" },
  { dtickrange: ["M1", null], value: "%b\n%Y" },
];

export function baseLayout(colors) {
  return {
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    font: { family: colors.font, size: 12, color: colors.muted },
    margin: { l: 8, r: 12, t: 8, b: 8 },
    showlegend: false,
    hoverlabel: { bgcolor: colors.card, bordercolor: colors.edge, font: { family: colors.font, size: 12, color: colors.text } },
    xaxis: { automargin: true, zeroline: false, fixedrange: true, showgrid: false, linecolor: colors.grid, tickcolor: colors.grid },
    yaxis: { automargin: true, zeroline: false, fixedrange: true, gridcolor: colors.grid, nticks: 6 },
    bargap: 0.22,
  };
}

export function timeChart(tile, answer, width) {
  const colors = themeColors();
  const { dimensions: [x], measures: [measure], pivot } = shape(answer);
  const groups = series(answer, pivot, measure);
  const stacked = tile.type === "looker_area" && groups.length > 1;
  const data = groups.map((group) => {
    const color = pivot ? typeColor(group.name) : colors.accent;
    const index = [...group.index].sort((a, b) => (answer.data[x.name][a] < answer.data[x.name][b] ? -1 : 1));
    const [times, values] = withGaps(pick(answer, x, index), pick(answer, measure, index), stacked);
    return {
      type: "scatter", mode: times.length === 1 ? "markers" : "lines", name: seriesName(group, pivot, measure),
      x: times, y: values, line: { color, width: stacked ? 0 : 2 },
      ...(stacked ? { stackgroup: "all", fillcolor: color } : tile.type === "looker_area" ? { fill: "tozeroy", fillcolor: `${color}22` } : {}),
      text: values.map((value) => numberText(value, measure)), hovertemplate: pivot ? "%{text}" : "%{text}<extra></extra>",
    };
  });
  const layout = baseLayout(colors);
  layout.hovermode = "x unified";
  layout.xaxis.showspikes = true;
  Object.assign(layout.xaxis, { spikethickness: 1, spikedash: "solid", spikecolor: colors.muted, hoverformat: "%a %-d %b %Y, %H:%M" });
  layout.xaxis.tickformatstops = TIME_TICKS;
  layout.yaxis.rangemode = "tozero";
  if (stacked && width > WIDE_PX) labelBands(layout, data);
  return { data, layout, picks: () => null };
}

// Interrupts a line where there are no readings.
function withGaps(times, values, stacked) {
  if (stacked || times.length < 3) return [times, values];
  const at = times.map((time) => Date.parse(time.includes("T") ? `${time}Z` : time));
  const step = Math.min(...at.slice(1).map((time, position) => time - at[position]).filter((gap) => gap > 0));
  const [x, y] = [[], []];
  times.forEach((time, position) => {
    // 1.5, because months differ in length.
    if (position && at[position] - at[position - 1] > step * 1.5) {
      x.push(new Date(at[position - 1] + step).toISOString().slice(0, 16));
      y.push(null);
    }
    x.push(time);
    y.push(values[position]);
  });
  return [x, y];
}

// Labels the bands at their right end. Bands thinner than a line of text get none, so that labels do not overlap.
function labelBands(layout, data) {
  const totals = new Map();
  data.forEach((trace) => trace.x.forEach((time, position) => totals.set(time, (totals.get(time) ?? 0) + (trace.y[position] ?? 0))));
  const at = [...totals.keys()].sort().at(-2);
  if (!at) return;
  const heights = data.map((trace) => trace.y[trace.x.indexOf(at)] ?? 0);
  const thick = Math.max(...totals.values()) * LABELLED_BAND;
  layout.margin.r = 118;
  layout.annotations = [];
  let below = 0;
  heights.forEach((height, position) => {
    if (height > thick) {
      layout.annotations.push({
        x: 1, xref: "paper", xanchor: "left", xshift: 6, y: below + height / 2, yref: "y", showarrow: false, align: "left",
        text: data[position].name, font: { color: data[position].fillcolor, size: 12 },
      });
    }
    below += height;
  });
}

export function columnChart(tile, answer, width, selected) {
  const colors = themeColors();
  const { dimensions: [x], measures: [measure], pivot } = shape(answer);
  const groups = series(answer, pivot, measure);
  // The x values are numbers, not texts: two values may have the same text, and Plotly interprets some texts as dates or
  // numbers.
  const places = new Map();
  for (const key of groups.flatMap((group) => pick(answer, x, group.index))) if (!places.has(key)) places.set(key, places.size);
  const data = groups.map((group) => {
    const keys = pick(answer, x, group.index);
    const values = pick(answer, measure, group.index);
    const text = values.map((value) => numberText(value, measure, { unit: false }));
    const fits = groups.length === 1 && keys.length <= LABELLED_BARS && Math.max(...text.map((label) => label.length)) * DIGIT_PX < width / keys.length;
    return {
      type: "bar", name: seriesName(group, pivot, measure), x: keys.map((key) => places.get(key)), y: values,
      marker: {
        color: keys.map((key) => (pivot ? typeColor(group.name) : barColor(x, key, colors))),
        opacity: keys.map((key) => opacity(key, x, selected)), cornerradius: 3,
      },
      customdata: keys,
      text, textposition: fits ? "outside" : "none", textangle: 0, cliponaxis: false, textfont: { color: colors.muted, size: 11 },
      hovertext: keys.map((key, row) => hover(answer, group.index[row])), hovertemplate: "%{hovertext}<extra></extra>",
    };
  });
  const layout = baseLayout(colors);
  const every = answer.rows > LABELLED_BARS ? (width < 420 ? 6 : 3) : 1;
  const shown = [...places].filter(([, place]) => place % every === 0);
  Object.assign(layout.xaxis, ticks(shown.map(([key, place]) => [place, axisText(key, x)])), { tickangle: 0, range: [-0.5, places.size - 0.5] });
  layout.yaxis.rangemode = "tozero";
  layout.margin.t = 20;
  return { data, layout, picks: (trace, point) => ({ column: x, value: data[trace].customdata[point] }) };
}

export function seriesName(group, pivot, measure) {
  return pivot ? plotLabel(nameText(group.name)) : measure.label;
}

// Axis options that put a text at each position: [[position, text], ...].
function ticks(texts) {
  return { type: "linear", tickmode: "array", tickvals: texts.map(([place]) => place), ticktext: texts.map(([, text]) => plotLabel(text)) };
}

function axisText(key, column) {
  return column.field.endsWith("hour_of_day") ? String(key).padStart(2, "0") : valueText(key, column);
}

export function barChart(tile, answer, width, selected) {
  const colors = themeColors();
  const { dimensions, measures: [measure], pivot } = shape(answer);
  const [y] = dimensions;
  const type = dimensions.concat(pivot ?? []).find((column) => column.field.endsWith(".building_type"));
  const rows = [...Array(answer.rows).keys()].reverse(); // Plotly draws from the bottom up.
  const keys = pick(answer, y, rows);
  const values = pick(answer, measure, rows);
  const data = [{
    type: "bar", orientation: "h", y: [...keys.keys()], x: values, customdata: keys,
    marker: {
      color: rows.map((row) => (type ? typeColor(answer.data[type.name][row]) : colors.accent)),
      opacity: keys.map((key) => opacity(key, y, selected)), cornerradius: 3,
    },
    text: values.map((value) => numberText(value, measure, { unit: false })), textposition: "outside",
    cliponaxis: false, textfont: { color: colors.text, size: 12 },
    hovertext: rows.map((row) => hover(answer, row)), hovertemplate: "%{hovertext}<extra></extra>",
  }];
  const layout = baseLayout(colors);
  const names = keys.map((key, place) => [place, `${valueText(key, y)} `]);
  Object.assign(layout.yaxis, ticks(names), { showgrid: false, range: [-0.5, keys.length - 0.5], tickfont: { color: colors.text } });
  Object.assign(layout.xaxis, { visible: false, rangemode: "tozero" });
  const longest = Math.max(0, ...data[0].text.map((text) => text.length));
  layout.margin.r = 16 + longest * 7;
  return { data, layout, picks: (trace, point) => ({ column: y, value: keys[point] }) };
}

function barColor(column, key, colors) {
  return column.field.endsWith(".building_type") ? typeColor(key) : colors.accent;
}

// Highlights the value of a column that was clicked.
export function opacity(key, column, selected) {
  return selected === undefined || exactly(key, column) === selected ? 1 : FADED;
}

// The whole row as text, one line for each column.
export function hover(answer, row) {
  return answer.columns
    .map((column) => `${plotHover(column.label)}: <b>${plotHover(cellText(answer.data[column.name][row], column))}</b>`)
    .join("<br>");
}

export function summary(tile, answer) {
  const { measures: [measure], dimensions: [first] } = shape(answer);
  if (!measure || !answer.rows) return `${tile.title}: no data.`;
  const values = answer.data[measure.name];
  let top = 0;
  values.forEach((value, row) => { if ((value ?? -Infinity) > (values[top] ?? -Infinity)) top = row; });
  const unit = unitOf(measure);
  const at = first ? ` at ${valueText(answer.data[first.name][top], first)}` : "";
  return `${tile.title}: ${answer.rows} rows of ${measure.label}${unit ? ` in ${unit}` : ""}; largest ${numberText(values[top], measure)}${at}. The button Table shows all values.`;
}
