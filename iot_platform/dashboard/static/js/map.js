// The map: circles on axes of longitude and latitude, scaled so that distances are the same in both directions. It is
// used instead of Plotly's scattergeo, which has no degree labels and no scale bar, and zooms poorly into a city.

import { themeColors, typeColor } from "./colors.js";
import { baseLayout, hover, opacity, seriesName } from "./charts.js";
import { numberText } from "./format.js";
import { keyColumn, pick, series, shape } from "./rows.js";
import { baseMap, COARSE_SPAN } from "./topology.js";

const LARGEST_PX = [22, 44]; // diameter of the circle with the largest value, on a phone and on a wall
const SMALLEST_PX = 5;
const KM_PER_DEGREE = 111.32;
const MAX_LATITUDE = 85;
const CITY_DEGREES = 0.5;
const NICE = [1, 2, 5];

export function mapChart(tile, answer, element, selected) {
  const colors = themeColors();
  const { dimensions, measures: [measure], pivot } = shape(answer);
  const place = dimensions.find((column) => column.kind === "location");
  const key = keyColumn(answer);
  const largest = Math.max(...answer.data[measure.name].map((value) => value ?? 0), 0) || 1;
  const widest = Math.max(LARGEST_PX[0], Math.min(LARGEST_PX[1], element.clientWidth / 26));
  const traces = series(answer, pivot, measure).map((group) => {
    // Large circles first, so that small ones lie on top of them.
    const index = group.index.filter((row) => answer.data[place.name][row])
      .sort((a, b) => (answer.data[measure.name][b] ?? 0) - (answer.data[measure.name][a] ?? 0));
    const places = pick(answer, place, index);
    const keys = pick(answer, key, index);
    return {
      type: "scatter", mode: "markers", name: seriesName(group, pivot, measure),
      x: places.map(([, longitude]) => longitude), y: places.map(([latitude]) => latitude), customdata: keys,
      marker: {
        // The area, not the diameter, stands for the value.
        size: pick(answer, measure, index).map((value) => Math.max(SMALLEST_PX, widest * Math.sqrt(Math.max(value ?? 0, 0) / largest))),
        color: pivot ? typeColor(group.name) : colors.accent, line: { color: colors.card, width: 1 },
        opacity: keys.map((value) => 0.82 * opacity(value, key, selected)),
      },
      hovertext: index.map((row) => hover(answer, row)), hovertemplate: "%{hovertext}<extra></extra>",
    };
  });
  return {
    traces, measure, cities: citiesOf(traces), size: `Largest circle: ${numberText(largest, measure)}.`, bounds: boundsOf(traces), layout: { ...baseLayout(colors), hovermode: "closest", dragmode: "pan" },
    picks: (trace, point) => ({ column: key, value: traces[trace].customdata[point] }),
  };
}

// The bounds [west, south, east, north] of all circles.
function boundsOf(traces) {
  const x = traces.flatMap((trace) => trace.x);
  const y = traces.flatMap((trace) => trace.y);
  return [Math.min(...x), Math.min(...y), Math.max(...x), Math.max(...y)];
}

// The bounds of each city, the largest first: the places less than CITY_DEGREES from the largest one that is left.
function citiesOf(traces) {
  let places = traces.flatMap((trace) => trace.x.map((x, position) => [x, trace.y[position], trace.marker.size[position]]));
  places.sort((a, b) => b[2] - a[2]);
  const cities = [];
  while (places.length) {
    const [[x, y]] = places;
    const isNear = (place) => Math.abs(place[0] - x) < CITY_DEGREES && Math.abs(place[1] - y) < CITY_DEGREES;
    const city = places.filter(isNear);
    cities.push(boundsOf([{ x: city.map((place) => place[0]), y: city.map((place) => place[1]) }]));
    places = places.filter((place) => !isNear(place));
  }
  return cities;
}

// A view [west, south, east, north] around bounds, in the proportions of an element.
export function fit([west, south, east, north], width, height) {
  const middle = Math.max(-MAX_LATITUDE, Math.min(MAX_LATITUDE, (south + north) / 2));
  const stretch = Math.cos((middle * Math.PI) / 180);
  const across = Math.max((east - west) * stretch * 1.16, (north - south) * 1.16 * (width / height), 0.02);
  const half = [across / stretch / 2, (across * height) / width / 2];
  const centre = (west + east) / 2;
  return [centre - half[0], middle - half[1], centre + half[0], middle + half[1]];
}

export function zoomed([west, south, east, north], factor) {
  const [x, y, dx, dy] = [(west + east) / 2, (south + north) / 2, ((east - west) / 2) * factor, ((north - south) / 2) * factor];
  return [x - dx, y - dy, x + dx, y + dy];
}

// Draws land and circles for a view. Resolves with the number of traces below the circles, and with the error if the
// land could not be drawn.
export async function drawMap(element, chart, view) {
  const colors = themeColors();
  let land = [];
  let problem = null;
  try {
    land = await baseMap(view, colors);
  } catch (error) {
    problem = error; // the circles are worth showing without it
  }
  const [west, south, east, north] = view;
  const step = niceStep(Math.max(east - west, north - south) / 9);
  const decimals = Math.max(0, -Math.floor(Math.log10(step)));
  const degrees = { ticksuffix: "°", tickformat: `.${decimals}f`, dtick: step, showgrid: false, fixedrange: false, ticks: "", tickfont: { size: 11 } };
  const bar = scaleBar(view, element.clientWidth);
  const below = [...land, graticule(view, step, colors.border)];
  const layout = {
    ...chart.layout,
    width: element.clientWidth,
    height: element.clientHeight,
    plot_bgcolor: east - west < COARSE_SPAN ? colors.land : colors.water,
    xaxis: { ...chart.layout.xaxis, ...degrees, range: [west, east] },
    yaxis: { ...chart.layout.yaxis, ...degrees, range: [south, north] },
    shapes: [{ type: "line", xref: "paper", yref: "paper", x0: 0.02, x1: 0.02 + bar.share, y0: 0.045, y1: 0.045, line: { color: colors.text, width: 2 } }],
    annotations: [{ xref: "paper", yref: "paper", x: 0.02, y: 0.055, xanchor: "left", yanchor: "bottom", text: bar.text, showarrow: false, font: { size: 11, color: colors.text } }],
  };
  await Plotly.react(element, [...below, ...chart.traces], layout, { displayModeBar: false, scrollZoom: true, doubleClick: false });
  return { below: below.length, problem };
}

// The grid of degrees, drawn on top of the land, which would hide Plotly's own grid lines.
function graticule([west, south, east, north], step, color) {
  const [x, y] = [[], []];
  const margin = Math.max(east - west, north - south);
  const lines = (from, to, push) => {
    for (let at = Math.ceil((from - margin) / step) * step; at < to + margin; at += step) push(at);
  };
  lines(west, east, (at) => { x.push(at, at, null); y.push(south - margin, north + margin, null); });
  lines(south, north, (at) => { x.push(west - margin, east + margin, null); y.push(at, at, null); });
  return { type: "scatter", mode: "lines", x, y, hoverinfo: "skip", line: { color, width: 0.7, dash: "2px,3px" } };
}

function niceStep(wanted) {
  const power = 10 ** Math.floor(Math.log10(wanted));
  return (NICE.find((step) => step * power >= wanted) ?? 10) * power;
}

function scaleBar([west, south, east, north], width) {
  const km = (east - west) * KM_PER_DEGREE * Math.cos((((south + north) / 2) * Math.PI) / 180);
  const wanted = km * Math.min(0.2, 120 / Math.max(width, 1));
  const power = 10 ** Math.floor(Math.log10(wanted));
  const length = Math.max(...NICE.map((step) => step * power).filter((step) => step <= wanted));
  return { share: length / km, text: length < 1 ? `${Math.round(length * 1000)} m` : `${length} km` };
}
