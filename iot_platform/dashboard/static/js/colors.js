// One colour for each building type on every chart. They differ in lightness as well as in hue, and each stands out
// from its background by at least 4.5:1, so that it can be text, too.

const LIGHT = ["#3b76b0", "#976800", "#a8326f", "#23803a", "#c83e51", "#0a7c9a", "#8a4b2a", "#4b3a9e", "#5a6472", "#79791a", "#1f7a72"];
const DARK = ["#6fa8dc", "#e0b93b", "#e77fb9", "#5fbf6b", "#f2777a", "#5cc8e6", "#c99b7b", "#a79beb", "#b0b7c3", "#bdbd5a", "#58bdb0"];
const UNKNOWN = { light: "#6c7480", dark: "#858d98" };

let types = [];

// Sorts the names, so that a type keeps its colour whatever is filtered.
export function setTypes(names) {
  types = names.filter((name) => name !== "unknown").sort();
}

export function knownTypes() {
  return types;
}

export function themeName() {
  return document.documentElement.dataset.theme;
}

export function typeColor(name) {
  const dark = themeName() === "dark";
  const position = types.indexOf(name);
  if (position < 0) return dark ? UNKNOWN.dark : UNKNOWN.light;
  const palette = dark ? DARK : LIGHT;
  return palette[position % palette.length];
}

export function themeColors() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    text: read("text"), muted: read("muted"), grid: read("grid"), accent: read("accent"), card: read("card"),
    land: read("land"), water: read("water"), border: read("map-border"), edge: read("edge"), font: style.fontFamily,
  };
}
