// Filter expressions of single values: "office,retail" <-> ["office", "retail"]. The server understands many more.

import { quoteText } from "./format.js";

export function toExpression(values) {
  return values.map((value) => (/^-?\d+(\.\d+)?$/.test(value) ? value : quoteText(value))).join(",");
}

export function toValues(expression) {
  const parts = expression.match(/"(?:\^.|[^"^])*"|(?:\^.|[^,^])+/g) ?? [];
  return parts.map((part) => part.trim().replace(/^"(.*)"$/, "$1").replace(/\^(.)/g, "$1")).filter(Boolean);
}

// "2026/01/05 to 2026/01/08" (the end is not part of it) <-> first and last day.
export function toPeriod(first, last) {
  const after = new Date(Date.parse(last) + 86_400_000).toISOString().slice(0, 10);
  return `${first.replaceAll("-", "/")} to ${after.replaceAll("-", "/")}`;
}

export function toDays(expression) {
  const found = /^(\d{4})\/(\d\d)\/(\d\d) to (\d{4})\/(\d\d)\/(\d\d)$/.exec(expression);
  if (!found) return null;
  const after = Date.UTC(found[4], found[5] - 1, found[6]);
  return [found.slice(1, 4).join("-"), new Date(after - 86_400_000).toISOString().slice(0, 10)];
}
