// Which service and which gallery; adding, removing, erasing.

import { showQuery } from "./page_crops.js";
import { at, make, may, moment, name, near, percent, plural, seconds, state } from "./page_elements.js";
import { showAnswer, showEmpty } from "./page_hits.js";
import { call, forgetPictures, guarded, inGallery, Refused, report } from "./page_service.js";

export async function begin() {
  state.about = null;
  state.about = await call("about");
  const { about } = state;
  at("who").replaceChildren(about.method, " · ", name(about.name), ` (${about.role})`);
  at("k").max = about.limits.k;
  at("make-panel").hidden = !may("admin");
  await listGalleries();
}

async function listGalleries(wanted = state.gallery) {
  const { galleries } = await call("galleries");
  at("gallery").replaceChildren(...galleries.map((one) =>
    make("option", { value: one.name }, `${one.name} (${one.fits ? one.items : one.items === null ? "cannot be read" : "other weights"})`)));
  const chosen = galleries.find((one) => one.name === wanted) ?? galleries.find((one) => one.fits) ?? galleries[0];
  at("add-panel").hidden = !may("add") || !chosen;
  if (!chosen) {
    at("status").textContent = may("admin") ? "There is no gallery yet: make one." : "There is no gallery yet.";
    at("make-panel").open = may("admin");
    at("state").hidden = true;
    showEmpty();
    return;
  }
  at("gallery").value = chosen.name;
  await chooseGallery(chosen.name);
  if (chosen.items === null) report(new Refused(0, `Gallery ${chosen.name} cannot be read: ${chosen.problem}`));
}

export async function chooseGallery(chosen) {
  if (chosen !== state.gallery) {
    state.gallery = chosen;
    state.running?.abort();
    state.items.clear();
    state.leftOut.clear();
    state.answer = null;
    forgetPictures();
    state.marks.clear();
    for (const box of at("cameras").querySelectorAll("input")) box.checked = false;
    showQuery();
    showAnswer();
  }
  await loadStats();
}

async function loadStats() {
  const stats = await call(inGallery(""));
  if (stats.name !== state.gallery) return; // another one was chosen meanwhile
  state.stats = stats;
  const ticked = new Set(tickedCameras());
  const cameras = Object.entries(stats.cameras).sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }));
  at("cameras").replaceChildren(at("cameras").firstElementChild, ...cameras.map(([camera, count]) =>
    make("label", {}, make("input", { type: "checkbox", value: camera, checked: ticked.has(camera) }), name(camera),
      make("span", { class: "quiet" }, String(count)))));
  at("known-cameras").replaceChildren(...cameras.map(([camera]) => make("option", { value: camera })));
  at("span").textContent = stats.items === 0 ? "" : stats.first === null || stats.last === null
    ? "No item of this gallery has a time." : `Items from ${moment(stats.first)} to ${moment(stats.last)} UTC.`;
  countCameras();
  at("state").replaceChildren(...gallerySays(stats).map((text) => make("span", {}, text)));
  at("state").hidden = false;
  showEmpty();
}

// What is in the gallery, how long it is kept, and how hits are judged.
function gallerySays(stats) {
  const days = stats.retention === null ? null : Math.round(stats.retention / 86400);
  const kept = days === null ? "kept for ever" : days < 1 ? "kept for less than a day" : `kept for ${plural(days, "day")}`;
  const found = stats.items === 0 ? ["no items yet", kept] : [`${plural(stats.items, "item")} of ${plural(stats.persons, "named person", "named people")}`
    + (stats.unnamed ? ` and ${stats.unnamed} unnamed` : ""), plural(Object.keys(stats.cameras).length, "camera"), kept];
  if (stats.calibration_problem) found.push("the thresholds that are there cannot be used: hits get no verdict");
  else if (stats.calibration === null) found.push("no thresholds: hits get no verdict");
  else found.push(`verdicts for ${upTo(stats.calibration.levels.at(-1).images)}: ${likely(stats.calibration.levels[0], stats.calibration)}`);
  if (!stats.fits) found.push("made with other weights than this service has");
  if (stats.sealed === false) found.push("older items are not protected against damage");
  return found;
}

const upTo = (images) => (images === 1 ? "one picture" : `up to ${images} pictures`);

// The meaning of the thresholds for one number of pictures, with what was measured of them.
export function likely(level, { rate, unit }) {
  const of = unit === "pair" ? "pairs of different people" : "searches for people who are not there";
  const far = level.far === null ? "" : `, probably not beyond ${near(level.far)} (${percent(level.missed)} of true pairs)`;
  return `match likely up to ${near(level.threshold)} (at most ${percent(rate)} of ${of}`
    + `${level.found === null ? "" : `; ${percent(level.found)} of true pairs`})${far}`;
}

export const tickedCameras = () => [...at("cameras").querySelectorAll("input:checked")].map((box) => box.value);

export function countCameras() {
  const ticked = tickedCameras();
  at("camera-count").textContent = ticked.length ? `${ticked.length} of ${Object.keys(state.stats.cameras).length}` : "all";
}

// A question with buttons [value, text, class]; answers the value, or "" for no.
export function ask(title, texts, choices) {
  const dialog = at("confirm");
  at("confirm-title").textContent = title;
  at("confirm-text").replaceChildren(...texts.map((text) => make("p", {}, ...[text].flat())));
  let chosen = "";
  const no = make("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  at("confirm-buttons").replaceChildren(...choices.map(([value, text, kind]) => make("button", {
    type: "button", class: kind, onclick: () => { chosen = value; dialog.close(); } }, text)), no);
  dialog.showModal();
  no.focus();
  return new Promise((resolve) => { dialog.onclose = () => resolve(chosen); });
}

export const confirmRemoval = (hit) => guarded(async () => {
  const texts = [["Item ", name(hit.id), hit.person === null ? "" : " of person ", hit.person === null ? "" : name(hit.person), "."],
    "Remove takes the item out of the gallery: it is found no more, but its bytes stay on the disk until they are cleaned up."];
  const choices = [["remove", "Remove", ""]];
  if (may("admin")) {
    texts.push("Erase takes every byte of it off the disk: picture, descriptor, local vectors, and all old versions. It cannot be "
      + "undone. The audit log keeps that something was erased, by whom and when, with a digest of the id. Copies made elsewhere "
      + "(backups, exports) are not reached.");
    choices.push(["erase", "Erase this item", "grave"]);
    if (hit.person !== null) choices.push(["person", "Erase all of this person", "grave"]);
  }
  const chosen = await ask(may("admin") ? "Remove or erase?" : "Remove?", texts, choices);
  if (!chosen) return;
  const json = chosen === "person" ? { person: hit.person } : { ids: [hit.id] };
  const { count } = await call(inGallery(chosen === "remove" ? "/remove" : "/erase"), { method: "POST", json });
  if (!state.answer) return void (await loadStats()); // somebody started over meanwhile
  const gone = (one) => (chosen === "person" ? one.person === hit.person : one.id === hit.id);
  const ids = new Set([...state.answer.hits, ...state.items.values()].filter(gone).map((one) => one.id));
  state.answer.hits = state.answer.hits.filter((one) => !ids.has(one.id));
  for (const id of ids) for (const known of [state.items, state.leftOut, state.marks]) known.delete(id);
  forgetPictures(new Set([...state.items.keys(), ...state.answer.hits.map((one) => one.id)]));
  state.current = 0;
  showQuery();
  showAnswer();
  at("status").textContent = `${plural(count, "item")} ${chosen === "remove" ? "removed" : "erased"}.`;
  at("results").focus();
  await loadStats();
})();

export async function addToGallery() {
  const { crops } = state, id = at("add-id").value.trim(), camera = at("add-camera").value.trim();
  if (!crops.length) throw new Refused(0, "Choose a picture first: those above are added.");
  if (!id || !camera) throw new Refused(0, "An item needs an id and a camera.");
  const person = at("add-person").value.trim(), time = seconds(at("add-time"));
  const fields = crops.map((crop, index) => ({
    id: crops.length === 1 ? id : `${id}-${index + 1}`, camera, source: crop.name.slice(0, 2000),
    ...(person ? { person } : {}), ...(time === null ? {} : { time }), ...(crop.box ? { box: crop.box } : {}),
  }));
  const form = new FormData();
  crops.forEach((crop, index) => form.append("images", crop.blob, `picture-${index + 1}`));
  form.append("fields", JSON.stringify(fields));
  at("status").textContent = "Adding …";
  const { added, present, overdue } = await call(inGallery("/items"), { method: "POST", form });
  await listGalleries();
  at("status").textContent = `${plural(added, "item")} added to ${state.gallery}.`
    + (present ? ` ${plural(present, "id")} there already, left as before.` : "")
    + (overdue ? ` ${plural(overdue, "older item")} should have expired; whoever keeps the gallery must look at it.` : "");
  at("add-id").value = "";
}

export async function makeGallery() {
  const made = at("make-name").value.trim(), days = Number(at("make-days").value);
  if (!/^[a-z0-9_-]{1,64}$/.test(made)) throw new Refused(0, "A gallery's name has 1 to 64 of a-z, 0-9, _ and -.");
  await call("galleries", { method: "POST", json: { name: made, ...(days > 0 ? { retention: days * 86400 } : {}) } });
  await listGalleries(made);
  at("make-name").value = "";
  at("status").textContent = `Gallery ${made} made.`;
}
