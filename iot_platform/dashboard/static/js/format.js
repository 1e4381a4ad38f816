// Numbers, times and names for people. Value formats are Looker's (Excel's): #,##0.0 "kWh", 0.0%.

import { shortened, visible } from "./escape.js";

// Maximum length of a name on the page.
const NAME_LENGTH = 80;
export const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export function unitOf(column) {
  return /"\s*([^"]+?)\s*"/.exec(column.value_format ?? "")?.[1] ?? "";
}

// Units for headings of 100,000 kWh and more.
const LARGER = [[1e9, "TWh"], [1e6, "GWh"], [1e3, "MWh"]];

// A large number as [digits, unit] for a heading.
export function headline(value, column) {
  const unit = unitOf(column);
  const step = unit === "kWh" && Math.abs(value) >= 100_000 && LARGER.find(([size]) => Math.abs(value) >= size);
  if (!step) return [numberText(value, column, { unit: false }), unit];
  return [new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 4 }).format(value / step[0]), step[1]];
}

export function numberText(value, column, { unit = true } = {}) {
  if (value === null || value === undefined) return "–";
  const format = column.value_format ?? "";
  const percent = format.includes("%");
  const scaled = percent ? value * 100 : value;
  const decimals = /\.(0+)/.exec(format)?.[1].length ?? (format || Number.isInteger(scaled) ? 0 : 2);
  const grouped = !format || format.includes(",");
  const options = { minimumFractionDigits: decimals, maximumFractionDigits: decimals, useGrouping: grouped };
  const text = new Intl.NumberFormat("en-GB", options).format(scaled) + (percent ? "%" : "");
  const name = unitOf(column);
  return unit && name ? `${text} ${name}` : text;
}

function timeText(value) {
  const [date, time] = String(value).split("T");
  const [year, month, day] = date.split("-");
  if (!day) return String(value);
  return `${Number(day)} ${MONTHS[month - 1]} ${year}${time ? `, ${time}` : ""}`;
}

// A value of a dimension as text.
export function valueText(value, column) {
  if (value === null || value === undefined || value === "") return "(none)";
  if (column.field.endsWith("day_of_week_index")) return WEEKDAYS[value] ?? String(value);
  if (column.field.endsWith("hour_of_day")) return `${String(value).padStart(2, "0")}:00`;
  if (column.kind === "time" || column.kind === "date") return timeText(value);
  if (column.kind === "location") return value.map((degrees) => degrees.toFixed(3)).join(", ");
  if (column.kind === "yesno") return value === true || value === 1 || value === "Yes" ? "Yes" : "No";
  return column.is_measure ? numberText(value, column) : textOf(column.field)(value);
}

// How values of a field are shown. The id of a meter keeps its underscores.
export function textOf(field) {
  return field.endsWith(".meter_id") ? idText : nameText;
}

function idText(value) {
  return shortened(visible(value), NAME_LENGTH);
}

export function nameText(value) {
  return shortened(visible(value).replaceAll("_", " "), NAME_LENGTH);
}

export function cellText(value, column) {
  return column.is_measure ? numberText(value, column) : valueText(value, column);
}

// The filter expression that matches only this value.
export function exactly(value, column) {
  if (column.kind === "number") return String(value);
  if (column.kind === "location") return value.join(", ");
  if (column.kind === "yesno") return valueText(value, column);
  if (value === null || value === "") return "EMPTY";
  return quoteText(String(value));
}

export function quoteText(text) {
  const escaped = text.replace(/[\^"%_]/g, (character) => `^${character}`);
  return /^[\p{L}\p{N}^_.]+$/u.test(escaped) && !/^(not|null|empty)\b/i.test(text) ? escaped : `"${escaped}"`;
}

export function clockText(milliseconds) {
  return new Date(milliseconds).toLocaleTimeString("en-GB");
}
