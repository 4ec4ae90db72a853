// The answer: hits, their pictures and bars, marks on them.

import { showQuery } from "./page_crops.js";
import { at, draw, make, may, moment, name, near, plural, state } from "./page_elements.js";
import { ask, confirmRemoval, countCameras, tickedCameras } from "./page_gallery.js";
import { restart, search } from "./page_search.js";
import { guarded, pictureOf } from "./page_service.js";
import { showTimeline } from "./page_timeline.js";

export function showAnswer() {
  const { answer } = state;
  at("empty").hidden = answer !== null;
  at("hits-head").hidden = !answer?.hits.length;
  at("notices").replaceChildren(...(answer ? notices(answer) : []));
  at("status").textContent = answer ? summary(answer) : "";
  at("hits").replaceChildren(...(answer?.hits ?? []).map((hit, index) => make("li", {}, card(hit, index))));
  showMarks();
  showTimeline();
}

function summary(answer) {
  const gone = answer.incomparable
    ? ` ${plural(answer.incomparable, "item")} share nothing with your picture that could be compared.` : "";
  const none = answer.searched === 0 ? " Nothing passes the filters." : "";
  return `${plural(answer.hits.length, "hit")} among ${plural(answer.searched, "item")} searched.${gone}${none}`;
}

function notices(answer) {
  const found = [];
  if (answer.coverage < 1) {
    const share = Math.floor(answer.coverage * 1000) / 10;
    found.push(`Only ${share} % of the gallery could be searched. The person may be in the rest: search again later.`);
  }
  if (!answer.exact) found.push("These hits may not be the nearest: only a shortlist was compared in full.");
  const { calibration } = answer;
  if (answer.absent && calibration) {
    const of = calibration.unit === "pair" ? "pairs of different people" : "searches for people who are not there";
    found.push(`Probably not in the gallery: no hit is at ${near(calibration.threshold)} or nearer, the threshold set to be wrong in `
      + `${+(calibration.rate * 100).toPrecision(3)} % of ${of}.`);
  }
  if (!calibration && state.stats?.calibration_problem) {
    found.push(`No hit is called probably the same: ${state.stats.calibration_problem}`);
  }
  return found.map((text) => make("p", { class: "notice" }, text));
}

function card(hit, index) {
  const title = make("h3", { id: `hit-${index}` }, `${index + 1}`, make("span", { class: "distance" }, `distance ${near(hit.distance)}`));
  if (hit.probable !== null) {
    title.append(make("span", { class: `badge ${hit.probable ? "yes" : "no"}` }, hit.probable ? "probably the same" : "probably not"));
  }
  const facts = make("p", { class: "facts" }, make("span", { class: "name" }, name(hit.id)), make("br"),
    "camera ", name(hit.camera), " · ", hit.time === null ? "time unknown" : `${moment(hit.time)} UTC`, make("br"),
    "person ", hit.person === null ? "unknown" : name(hit.person));
  const button = (text, kind, mark) => make("button", {
    type: "button", class: kind, "aria-pressed": "false", "aria-label": `${text}: hit ${index + 1}`, "data-mark": mark,
    "aria-keyshortcuts": mark === "same" ? "y" : "n", onclick: () => setMark(index, mark),
  }, text);
  const actions = make("div", { class: "actions" }, button("✓ Same", "same", "same"), button("✗ Not", "not", "not"),
    make("button", { type: "button", "aria-label": `Search with hit ${index + 1} alone`, onclick: guarded(() => searchWith(hit)) },
      "Search with it"));
  if (may("add")) {
    actions.append(make("button", { type: "button", "aria-label": `Remove hit ${index + 1}`, onclick: () => confirmRemoval(hit) },
      may("admin") ? "Remove or erase" : "Remove"));
  }
  const article = make("article", {
    class: "hit", tabIndex: index === state.current ? 0 : -1, "aria-labelledby": `hit-${index}`, "data-index": String(index),
    onfocusin: () => setCurrent(index),
  },
  make("button", { type: "button", class: "picture", "aria-label": `Compare hit ${index + 1} side by side`, "aria-keyshortcuts": "c",
    onclick: () => compare(index) }, pictured(pictureOf(hit.id), hit.reason, "hit", "")),
  make("div", {}, title, facts, bars(hit.reason)), actions);
  return article;
}

// A picture with its parts: outlined where compared, hatched where not seen, dotted where only this side shows them.
function pictured(promise, reason, side, alt) {
  const { parts } = state.answer; // it may be another one when the picture is there
  const frame = make("span", {}, make("span", { class: "none" }, "…"));
  Promise.resolve(promise).then(async (url) => {
    if (url === null || url === undefined) {
      frame.firstChild.textContent = "no picture";
      return;
    }
    const image = make("img", { src: url, alt });
    try {
      await image.decode();
    } catch {
      frame.firstChild.textContent = "no picture";
      return;
    }
    frame.replaceChildren(image);
    if (reason) frame.append(outlines(reason, parts, side, (100 * image.naturalHeight) / image.naturalWidth));
  });
  return frame;
}

function outlines(reason, parts, side, height) {
  const svg = draw("svg", { viewBox: `0 0 100 ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  reason.parts.forEach((part, index) => {
    const region = parts[index]?.region;
    if (!region) return;
    const place = { x: 100 * region.left + 1, y: height * region.top + 1,
      width: Math.max(0, 100 * (region.right - region.left) - 2), height: Math.max(0, height * (region.bottom - region.top) - 2) };
    const here = side === "hit" ? part.in_hit : part.in_query;
    if (part.distance !== null && part.weight > 0) {
      svg.append(draw("rect", { ...place, class: "edge" }), draw("rect", { ...place, class: "line" }));
    } else {
      svg.append(draw("rect", { ...place, class: here ? "alone" : "unseen" }));
    }
  });
  return svg;
}

function scale() {
  const all = state.answer.hits.flatMap(({ reason }) =>
    [reason.global_distance, reason.spatial_distance, ...reason.parts.map((part) => part.distance)]);
  return Math.max(1e-9, ...all.filter((distance) => distance !== null));
}

function bars(reason) {
  const most = scale(), rows = [];
  const row = (label, distance, weight) => {
    const bar = make("span"), heavy = make("span");
    bar.style.width = `${(100 * distance) / most}%`;
    heavy.style.width = `${100 * Math.min(1, weight ?? 0)}%`;
    const track = make("td", { class: "track", "aria-hidden": "true" }, make("div", {}, bar));
    if (weight !== null) track.append(make("div", {}, heavy));
    rows.push(make("tr", {}, make("th", { scope: "row", title: label.textContent ?? label }, label), track, make("td", { class: "number" }, near(distance)),
      make("td", { class: "number" }, weight === null ? "" : `w ${weight.toFixed(2)}`)));
  };
  if (reason.global_distance !== null) row("whole", reason.global_distance, reason.global_weight);
  if (reason.spatial_distance !== null) row("places", reason.spatial_distance, null);
  reason.parts.forEach((part, index) => {
    const label = name(state.answer.parts[index]?.name ?? `part ${index + 1}`);
    if (part.distance !== null && part.weight > 0) {
      row(label, part.distance, part.weight);
      return;
    }
    const where = part.in_query ? part.in_hit ? "does not count" : "not seen here"
      : part.in_hit ? "not in your picture" : "seen in neither";
    rows.push(make("tr", { class: "not" }, make("th", { scope: "row", title: label.textContent ?? label }, label),
      make("td", { class: "why", colSpan: 3 }, make("span", {}, where))));
  });
  return make("table", { class: "bars" }, make("caption", { class: "hidden" }, "Distance and weight of each part"),
    make("tbody", {}, ...rows));
}

export function setCurrent(index) {
  state.current = index;
  for (const article of at("hits").querySelectorAll(".hit")) article.tabIndex = Number(article.dataset.index) === index ? 0 : -1;
  for (const mark of at("chart").querySelectorAll(".mark")) mark.classList.toggle("here", mark.dataset.index === String(index));
}

export function focusHit(index) {
  const article = at("hits").children[index]?.firstElementChild;
  if (!article) return;
  article.focus({ preventScroll: true });
  article.scrollIntoView({ block: "nearest" });
}

export function setMark(index, mark) {
  const { id } = state.answer.hits[index];
  if (state.marks.get(id) === mark) state.marks.delete(id);
  else state.marks.set(id, mark);
  showMarks();
  showTimeline();
}

export function showMarks() {
  for (const article of at("hits").querySelectorAll(".hit")) {
    const mark = state.marks.get(state.answer.hits[article.dataset.index].id);
    article.classList.toggle("same", mark === "same");
    article.classList.toggle("not", mark === "not");
    for (const button of article.querySelectorAll("[data-mark]")) {
      button.setAttribute("aria-pressed", String(button.dataset.mark === mark));
    }
  }
  const marks = [...state.marks.values()], same = marks.filter((mark) => mark === "same").length;
  at("again").hidden = marks.length === 0;
  at("marks").textContent = `${same} marked as the same, ${marks.length - same} as somebody else`;
}

async function searchWith(hit) {
  if (state.crops.length + state.items.size > 0 && !(await ask("Search with this item alone?",
    ["The pictures and marks of the search so far are let go of."], [["go", "Search", "main"]]))) return;
  const kept = [tickedCameras(), at("since").value, at("until").value, at("k").value];
  restart();
  [at("since").value, at("until").value, at("k").value] = kept.slice(1);
  for (const box of at("cameras").querySelectorAll("input")) box.checked = kept[0].includes(box.value);
  countCameras();
  state.items.set(hit.id, hit);
  showQuery();
  await search();
}

export function compare(index) {
  const hit = state.answer.hits[index];
  const one = state.queryUrls.length === 1;
  const figure = (promise, reason, side, text) => make("figure", {},
    make("span", { class: "picture" }, pictured(promise, reason, side, text)), make("figcaption", {}, text));
  at("compare-pair").replaceChildren(
    ...state.queryUrls.slice(0, 3).map((url) => figure(url, one ? hit.reason : null, "query", "Your picture")),
    figure(pictureOf(hit.id), hit.reason, "hit", `Hit ${index + 1}`));
  at("compare-bars").replaceChildren(bars(hit.reason));
  at("compare-title").replaceChildren("Your picture and ", name(hit.id));
  at("compare").showModal();
}
