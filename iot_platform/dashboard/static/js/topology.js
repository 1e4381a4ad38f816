// Natural Earth's world as lines and areas in degrees, out of the TopoJSON files that the server has.

const FINE_SPAN = 40; // degrees: below, the finer file is drawn
export const SKETCH_SPAN = 2; // degrees: below, its coasts are too rough to tell land from water

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

// Arcs are steps on a grid of whole numbers; https://github.com/topojson/topojson-specification says how.
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
  const layer = (name) => topology.objects[name].geometries.flatMap(lines).flatMap(apart).map((points) => ({ points, box: boxOf(points) }));
  return { land: layer("land"), lakes: layer("lakes"), rivers: layer("rivers"), borders: layer("countries") };
}

// A line over the antimeridian would go back around the whole world.
function apart(points) {
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
  if (east - west < SKETCH_SPAN) return [trace("borders", { line: { color: colors.border, width: 0.8, dash: "4px,4px" } })];
  const fill = (color) => ({ fill: "toself", fillcolor: color, line: { color: colors.border, width: 0.6 } });
  return [
    trace("land", fill(colors.land)),
    trace("borders", { line: { color: colors.border, width: 0.8 } }),
    trace("lakes", fill(colors.water)),
    trace("rivers", { line: { color: colors.water, width: 1.4 } }),
  ];
}
