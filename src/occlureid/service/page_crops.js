// The pictures of the person who is looked for.

import { editBoxes } from "./page_boxes.js";
import { at, CROP_SIDE, LEAST, make, MAX_QUERY, name, plural, state, TAKEN } from "./page_elements.js";
import { showEmpty } from "./page_hits.js";
import { guarded, pictureOf, Refused } from "./page_service.js";

// Takes what it can, and then names each file that it could not take.
export async function takeFiles(files) {
  const left = [];
  for (const file of files) {
    const called = file.name || "what was pasted";
    if (full()) {
      left.push(`${called} was left out: at most ${MAX_QUERY} pictures and items make one search.`);
      continue;
    }
    let source;
    try {
      source = await openPicture(file);
    } catch (error) {
      left.push(error.message);
      continue;
    }
    const { image } = source;
    if (image.naturalHeight >= 1.3 * image.naturalWidth && image.naturalHeight <= 1024) await addWhole(source);
    else await editBoxes(source); // larger, or wider than people are
  }
  if (left.length) throw new Refused(0, left.join("\n"));
}

const full = () => state.crops.length + state.items.size >= MAX_QUERY;

async function openPicture(file) {
  const no = new Refused(0, `${file.name || "This"} is not a picture that this browser can show: choose a JPEG, PNG or WebP file.`);
  if (file.type && !file.type.startsWith("image/")) throw no;
  const url = URL.createObjectURL(file);
  const image = make("img", { src: url });
  try {
    await image.decode();
  } catch {
    URL.revokeObjectURL(url);
    throw no;
  }
  return { file, url, image, label: file.name || "pasted picture" };
}

export async function addWhole(source) {
  const { image, file } = source;
  const most = Math.max(image.naturalWidth, image.naturalHeight);
  const asItIs = TAKEN.includes(file.type) && most <= CROP_SIDE;
  const blob = asItIs ? file : await cut(image, [0, 0, image.naturalWidth, image.naturalHeight]);
  addCrop({ blob, source, box: null });
}

// Cut here and not at the server: only the person leaves this browser.
export async function cut(image, [x0, y0, x1, y1]) {
  const scale = Math.min(1, CROP_SIDE / Math.max(x1 - x0, y1 - y0));
  const canvas = make("canvas", {
    width: Math.max(LEAST, Math.round((x1 - x0) * scale)), height: Math.max(LEAST, Math.round((y1 - y0) * scale)),
  });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, x0, y0, x1 - x0, y1 - y0, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
}

export function addCrop({ blob, source, box }) {
  if (full()) {
    const which = box ? `The box at ${box[0]}, ${box[1]} of ${source.label}` : source.label;
    throw new Refused(0, `${which} was left out: at most ${MAX_QUERY} pictures and items make one search.`);
  }
  state.crops.push({ blob, url: URL.createObjectURL(blob), name: source.label, source, box });
  showQuery();
}

function dropCrop(crop) {
  state.crops.splice(state.crops.indexOf(crop), 1);
  state.stale.add(crop.url); // the answer that is shown may still be compared with it
  showQuery();
}

export function showQuery() {
  const chips = state.crops.map((crop, index) => make("li", {},
    make("img", { src: crop.url, alt: `Picture ${index + 1} of the person` }),
    make("span", { class: "name", title: crop.name }, name(crop.name)),
    make("button", { type: "button", "aria-label": `Draw a box on picture ${index + 1}`, onclick: guarded(async () => {
      if (await editBoxes(crop.source)) dropCrop(crop);
    }) }, "Box"),
    make("button", { type: "button", "aria-label": `Remove picture ${index + 1}`, onclick: () => dropCrop(crop) }, "Remove")));
  for (const [id, hit] of state.items) {
    const image = thumbnail(id, `Stored item ${id}`);
    chips.push(make("li", {}, image, make("span", { class: "name", title: id }, name(id)), make("button", {
      type: "button", "aria-label": `Leave item ${id} out of the search`, onclick: () => {
        state.items.delete(hit.id);
        showQuery();
      } }, "Remove")));
  }
  at("crops").replaceChildren(...chips);
  at("crops").hidden = chips.length === 0;
  showEmpty();
  at("left-out").hidden = state.leftOut.size === 0;
  at("left-out").replaceChildren(make("span", { class: "quiet" }, `${plural(state.leftOut.size, "item")} of other people left out`),
    make("button", { type: "button", onclick: () => {
      state.leftOut.clear();
      showQuery();
    } }, "Take back"));
}

function thumbnail(id, alt) {
  const frame = make("span", { class: "none" }, "…");
  pictureOf(id).then((url) => {
    if (url === null) frame.textContent = "no picture";
    else frame.replaceWith(make("img", { src: url, alt }));
  });
  return frame;
}
