// Escapes text from data: hidden characters become visible, and Plotly finds no markup in it.

const LABEL_LENGTH = 36;
const HOVER_LENGTH = 120;
// Control and direction characters, except for the joiners that letters and emoji need.
const HIDDEN = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

// Cuts a text to at most `most` characters.
export function shortened(text, most) {
  const characters = [...text];
  return characters.length > most ? `${characters.slice(0, most - 1).join("")}…` : text;
}

// One line; hidden characters are written as escapes.
export function visible(value) {
  return String(value).replaceAll(/\s+/gu, " ").replaceAll(HIDDEN, (character) => `\\u${character.codePointAt(0).toString(16).padStart(4, "0")}`);
}

// A label of an axis, a curve or a band, escaped: Plotly interprets some tags and entities in all texts.
export function plotLabel(text, most = LABEL_LENGTH) {
  return shortened(visible(text), most).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

// The same for hover boxes, which have more room.
export function plotHover(text) {
  return plotLabel(text, HOVER_LENGTH);
}
