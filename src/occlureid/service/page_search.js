// From what is on the page to a request.

import { showQuery } from "./page_crops.js";
import { at, MAX_LEFT_OUT, MAX_QUERY, seconds, state } from "./page_elements.js";
import { countCameras, tickedCameras } from "./page_gallery.js";
import { showAnswer } from "./page_hits.js";
import { call, forgetPictures, inGallery, pictureOf, Refused } from "./page_service.js";

function takeMarks() {
  const hits = new Map((state.answer?.hits ?? []).map((hit) => [hit.id, hit]));
  const same = [...state.marks].filter(([, mark]) => mark === "same").map(([id]) => id);
  const others = [...state.marks].filter(([, mark]) => mark === "not").map(([id]) => id);
  if (new Set([...state.items.keys(), ...same]).size + state.crops.length > MAX_QUERY) {
    throw new Refused(0, `At most ${MAX_QUERY} pictures and items make one search: take some marks back, or remove pictures.`);
  }
  if (new Set([...state.leftOut, ...others]).size > MAX_LEFT_OUT) {
    throw new Refused(0, `At most ${MAX_LEFT_OUT} items can be left out of one search.`);
  }
  for (const id of same) state.items.set(id, hits.get(id));
  for (const id of others) state.leftOut.add(id);
  state.marks.clear();
  if (same.length || others.length) showQuery();
}

function filters() {
  const since = seconds(at("since")), until = seconds(at("until")), cameras = tickedCameras();
  if (since !== null && until !== null && since >= until) throw new Refused(0, "From must lie before until.");
  const query = { k: Number(at("k").value) };
  if (cameras.length) query.cameras = cameras;
  if (since !== null) query.since = since;
  if (until !== null) query.until = until;
  if (state.leftOut.size) query.not_ids = [...state.leftOut];
  return query;
}

export async function search() {
  if (!at("query").reportValidity()) return;
  if (!state.gallery) throw new Refused(0, "There is no gallery to search.");
  if (state.stats?.items === 0) throw new Refused(0, `Gallery ${state.gallery} is empty: there is nobody to find in it yet.`);
  takeMarks();
  if (state.crops.length + state.items.size === 0) throw new Refused(0, "Choose a picture of the person first.");
  const query = filters();
  state.running?.abort();
  const running = (state.running = new AbortController());
  at("status").textContent = "Searching …";
  at("results").setAttribute("aria-busy", "true");
  try {
    const ids = [...state.items.keys()];
    const urls = [...state.crops.map((crop) => crop.url), ...await Promise.all(ids.map(pictureOf))].filter((url) => url !== null);
    let answer;
    if (state.crops.length) {
      const form = new FormData();
      state.crops.forEach((crop, index) => form.append("images", crop.blob, `picture-${index + 1}`));
      form.append("query", JSON.stringify(ids.length ? { ...query, items: ids } : query));
      answer = await call(inGallery("/search/images"), { method: "POST", form, signal: running.signal });
    } else {
      answer = await call(inGallery("/search/items"), { method: "POST", json: { ...query, ids }, signal: running.signal });
    }
    if (state.running !== running) return;
    for (const url of state.stale) URL.revokeObjectURL(url);
    state.stale.clear();
    state.answer = answer;
    state.queryUrls = urls;
    state.current = 0;
    forgetPictures(new Set([...ids, ...answer.hits.map((hit) => hit.id)]));
    showAnswer();
    at("results").focus({ preventScroll: true });
    const { top } = at("results").getBoundingClientRect();
    if (top < 0 || top > innerHeight / 4) at("results").scrollIntoView({ block: "start" });
  } finally {
    if (state.running === running) {
      state.running = null;
      at("results").removeAttribute("aria-busy");
    }
  }
}

export function restart() {
  state.running?.abort();
  for (const crop of state.crops) URL.revokeObjectURL(crop.url);
  state.crops = [];
  state.items.clear();
  state.leftOut.clear();
  state.marks.clear();
  state.answer = null;
  state.queryUrls = [];
  forgetPictures();
  at("query").reset();
  for (const box of at("cameras").querySelectorAll("input")) box.checked = false; // on a telephone they are outside of the form
  countCameras();
  showQuery();
  showAnswer();
  at("file").focus();
}
