// Prepares a response of the server (columns of values) for a chart.

export function shape(answer) {
  const pivot = answer.columns.find((column) => answer.pivots.includes(column.field));
  return {
    dimensions: answer.columns.filter((column) => !column.is_measure && column !== pivot),
    measures: answer.columns.filter((column) => column.is_measure),
    pivot,
  };
}

// The column whose values filter the other charts when clicked: never a time, and a location only if there is no other.
export function keyColumn(answer) {
  const usable = shape(answer).dimensions.filter((column) => !["time", "date"].includes(column.kind));
  return usable.find((column) => column.kind !== "location") ?? usable[0] ?? null;
}

// The rows of each value of the pivot, the largest sum of the measure first: [{name, index: [row, ...]}].
export function series(answer, pivot, measure) {
  const rows = [...Array(answer.rows).keys()];
  if (!pivot) return [{ name: null, index: rows }];
  const groups = new Map();
  for (const row of rows) {
    const name = answer.data[pivot.name][row];
    if (!groups.has(name)) groups.set(name, { name, index: [], total: 0 });
    const group = groups.get(name);
    group.index.push(row);
    group.total += answer.data[measure.name][row] ?? 0;
  }
  return [...groups.values()].sort((a, b) => b.total - a.total);
}

export function pick(answer, column, index) {
  const values = answer.data[column.name];
  return index.map((row) => values[row]);
}
