// What the page shows, all of it in the URL: filters (f.*), cross-filters (x.*) and where they were clicked (from),
// theme, the open SQL, and the tiles that are shown as tables.

const FILTER = "f.";
const CROSS = "x.";

export function readState() {
  const query = new URLSearchParams(location.search);
  const part = (prefix) =>
    Object.fromEntries([...query].filter(([key]) => key.startsWith(prefix)).map(([key, value]) => [key.slice(prefix.length), value]));
  return {
    filters: part(FILTER),
    cross: part(CROSS),
    from: query.get("from"),
    theme: query.get("theme"),
    sql: query.get("sql"),
    tables: new Set((query.get("tables") ?? "").split(",").filter(Boolean)),
  };
}

export function writeState(state) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(state.filters)) query.set(FILTER + name, value);
  for (const [field, value] of Object.entries(state.cross)) query.set(CROSS + field, value);
  if (state.from && Object.keys(state.cross).length) query.set("from", state.from);
  if (state.theme) query.set("theme", state.theme);
  if (state.sql) query.set("sql", state.sql);
  if (state.tables.size) query.set("tables", [...state.tables].sort().join(","));
  const text = query.toString();
  const url = text ? `?${text}` : location.pathname;
  if (url !== location.search && !(url === location.pathname && !location.search)) history.pushState(null, "", url);
}

// The query string of a tile's request. A click does not filter its own tile, which highlights the value among the others.
export function tileQuery(state, tile) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(state.filters)) query.set(FILTER + name, value);
  if (state.from !== tile.name) {
    for (const [field, value] of Object.entries(state.cross)) query.set(CROSS + field, value);
  }
  return query.toString();
}
