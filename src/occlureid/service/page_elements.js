// What every part of the page uses: its state, elements made without markup, numbers as text.

export const MAX_QUERY = 16; // pictures and stored items that make one query
export const MAX_LEFT_OUT = 200;
export const CROP_SIDE = 1280; // larger crops are made smaller before they are sent: methods look at some hundred pixels
export const LEAST = 8; // pixels of a box, each way
export const TAKEN = ["image/jpeg", "image/png", "image/webp"];
const SVG = "http://www.w3.org/2000/svg";
const ROLES = ["search", "add", "admin"];

export const at = (id) => document.getElementById(id);
export const may = (role) => state.about !== null && ROLES.indexOf(state.about.role) >= ROLES.indexOf(role);

export const state = {
  about: null,
  gallery: "",
  stats: null,
  crops: [], // {blob, url, name, source, box}: pictures of the person
  items: new Map(), // id -> hit: stored items of the person
  leftOut: new Set(), // ids of items of other people
  marks: new Map(), // id -> "same" or "not": not yet used
  answer: null,
  stale: new Set(), // URLs of pictures that are no longer in the search
  queryUrls: [], // what the answer was searched by, to compare with
  current: 0, // the hit that has the focus or had it last
  compared: 0, // the hit that was last shown side by side; closing gives the focus back to another one first
  running: null, // an AbortController while a search is under way
};
export const pictures = new Map(); // id -> promise of a URL or null, of the gallery that is chosen
export const narrow = matchMedia("(max-width: 52rem)"); // a telephone: one column
export const WORDS = { likely: "match likely", uncertain: "uncertain", unlikely: "probably not" };

export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") element.className = value;
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && !key.startsWith("aria")) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children); // texts become text nodes
  return element;
}

export function draw(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export const name = (text) => make("bdi", {}, text); // texts from outside may run from right to left
export const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
export const percent = (share) => `${+(share * 100).toPrecision(2)} %`;
export const near = (distance) => (distance === null ? "none" : distance.toFixed(3));

export function moment(seconds) {
  const text = new Date(seconds * 1000).toISOString();
  return text.slice(0, text.indexOf(".")).replace("T", " ");
}

export function seconds(field) {
  if (field.value === "") return null;
  const found = Date.parse(`${field.value}Z`);
  return Number.isNaN(found) ? null : found / 1000;
}
