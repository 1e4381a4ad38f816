// Natural Earth's world map as lines and areas in degrees, from the TopoJSON files of the server.

const FINE_SPAN = 40; // degrees: narrower views use the file with more detail
export const COARSE_SPAN = 2; // degrees: in narrower views, its coasts are too coarse to separate land from water

const files = new Map();

function load(name) {
  if (!files.has(name)) {
    const loading = fetch(`/static/topojson/${name}.json`).then((response) => {
      if (!response.ok) throw new Error(`map file ${name}.json: HTTP status ${response.status}`);
      return response.json();
    }).then(decode);
    loading.catch(() => files.delete(name)); // the next drawing tries again
    files.set(name, loading);
  }
  return files.get(name);
}

// Arcs are delta-encoded on a grid of integers: https://github.com/topojson/topojson-specification.
function decode(topology) {
  const { scale, translate } = topology.transform;
  const arcs = topology.arcs.map((arc) => {
    let [x, y] = [0, 0];
    return arc.map(([dx, dy]) => {
      x += dx;
      y += dy;
      return [x * scale[0] + translate[0], y * scale[1] + translate[1]];
    });
  });
  const line = (indices) => indices.flatMap((index, position) => {
    const points = index < 0 ? [...arcs[~index]].reverse() : arcs[index];
    return position ? points.slice(1) : points;
  });
  const lines = (geometry) => {
    if (geometry.type === "Polygon" || geometry.type === "MultiLineString") return geometry.arcs.map(line);
    if (geometry.type === "MultiPolygon") return geometry.arcs.flat().map(line);
    return geometry.type === "LineString" ? [line(geometry.arcs)] : [];
  };
  const layer = (name) => topology.objects[name].geometries.flatMap(lines).flatMap(splitAtAntimeridian).map((points) => ({ points, box: boxOf(points) }));
  return { land: layer("land"), lakes: layer("lakes"), rivers: layer("rivers"), borders: layer("countries") };
}

// Splits a line where it crosses the antimeridian; otherwise it would go back across the whole map.
function splitAtAntimeridian(points) {
  const parts = [[]];
  points.forEach((point, position) => {
    if (position && Math.abs(point[0] - points[position - 1][0]) > 180) parts.push([]);
    parts.at(-1).push(point);
  });
  return parts;
}

function boxOf(points) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [x, y] of points) {
    box[0] = Math.min(box[0], x);
    box[1] = Math.min(box[1], y);
    box[2] = Math.max(box[2], x);
    box[3] = Math.max(box[3], y);
  }
  return box;
}

// The layers as Plotly traces for a view [west, south, east, north]: only what it shows and a margin around it.
export async function baseMap(view, colors) {
  const [west, south, east, north] = view;
  const world = await load(east - west < FINE_SPAN ? "world_50m" : "world_110m");
  const margin = Math.max(east - west, north - south);
  const near = ({ box }) =>
    box[2] > west - margin && box[0] < east + margin && box[3] > south - margin && box[1] < north + margin;
  const trace = (layer, style) => {
    const [x, y] = [[], []];
    for (const { points } of world[layer].filter(near)) {
      for (const point of points) {
        x.push(point[0]);
        y.push(point[1]);
      }
      x.push(null);
      y.push(null);
    }
    return { type: "scatter", mode: "lines", x, y, hoverinfo: "skip", ...style };
  };
  if (east - west < COARSE_SPAN) return [trace("borders", { line: { color: colors.border, width: 0.8, dash: "4px,4px" } })];
  const fill = (color) => ({ fill: "toself", fillcolor: color, line: { color: colors.border, width: 0.6 } });
  return [
    trace("land", fill(colors.land)),
    trace("borders", { line: { color: colors.border, width: 0.8 } }),
    trace("lakes", fill(colors.water)),
    trace("rivers", { line: { color: colors.water, width: 1.4 } }),
  ];
}
