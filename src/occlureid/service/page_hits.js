// The answer: hits, each with its picture, bars and menu, and marks on them.

import { bars, compare, pictured } from "./page_compare.js";
import { showQuery } from "./page_crops.js";
import { at, make, may, moment, name, near, percent, plural, state, WORDS } from "./page_elements.js";
import { ask, confirmRemoval, countCameras, likely, tickedCameras } from "./page_gallery.js";
import { restart, search } from "./page_search.js";
import { guarded, pictureOf } from "./page_service.js";
import { showTimeline } from "./page_timeline.js";

export function showAnswer() {
  const { answer } = state;
  showEmpty();
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
  return `${plural(answer.hits.length, "hit")} among ${plural(answer.searched, "item")} searched.${gone}${none}${chance(answer)}`;
}

// With a rate of pairs, some of many other people reach the threshold in every search.
function chance({ level, calibration, searched }) {
  const expected = level && calibration.unit === "pair" ? Math.round(calibration.rate * searched) : 0;
  return expected ? ` About ${plural(expected, "item")} of other people can be called a likely match by chance.` : "";
}

// In place of hits: what to do first.
export function showEmpty() {
  at("empty").hidden = state.answer !== null;
  const empty = state.stats?.items === 0, none = state.gallery === "" && state.about !== null;
  const chosen = state.crops.length + state.items.size;
  const foreign = !none && state.stats?.fits === false;
  at("empty-text").textContent = none ? "There is no gallery yet."
    : foreign ? `The gallery “${state.gallery}” was made with other weights.`
    : empty ? `The gallery “${state.gallery}” is empty.` : chosen ? `${plural(chosen, "picture")} chosen.` : "Choose a picture of a person.";
  at("empty-note").textContent = none || empty || foreign ? emptyNote(none, foreign)
    : `${chosen ? "Press Search. " : ""}The hits come ranked, each with what was compared: parts of the body that both pictures show.`;
}

function emptyNote(none, foreign) {
  if (none) return may("admin") ? "Make one: give it a name, and say how long it keeps its items." : "Somebody with the role admin can make one.";
  if (foreign) {
    return "Pictures can be neither searched in it nor added: choose another gallery, or start the service with the weights of this one"
      + " (occlureid serve --weights).";
  }
  if (!may("add")) return "There is nobody to find in it until somebody with the role add puts pictures in.";
  return "Choose pictures of people and add them below “Add these pictures to the gallery”, or with the command occlureid gallery add.";
}

function notices(answer) {
  const found = [], { calibration, level } = answer;
  if (answer.damaged) {
    const ids = (answer.damaged_ids ?? []).join(", ");
    found.push(`${plural(answer.damaged, "damaged item")} of the gallery ${answer.damaged === 1 ? "was" : "were"} left out${ids ? `: ${ids}` : ""}.`
      + " The command occlureid gallery verify says what to do.");
  }
  if (answer.coverage < 1) {
    const share = Math.floor(answer.coverage * 1000) / 10;
    found.push(`Only ${share} % of the gallery could be searched. The person may be in the rest: search again later.`);
  }
  if (!answer.exact) found.push("These hits may not be the nearest: only a shortlist was compared in full.");
  if (answer.no_verdict) found.push(`No verdict on these hits: ${answer.no_verdict}.`);
  if (answer.absent && level) {
    found.push(`Probably not in the gallery: no hit is at ${near(level.far)} or nearer, as all but ${percent(level.missed)} of true pairs are.`
      + ` With these thresholds: ${likely(level, calibration)}.`);
  } else if (level && answer.hits.length && answer.hits[0].verdict === "uncertain") {
    const many = level.found === null ? "" : `; ${percent(1 - level.found)} of true pairs are as far apart`;
    found.push(`Uncertain: no hit is at ${near(level.threshold)} or nearer, where a match is likely${many}.`);
  }
  if (!calibration && state.stats?.calibration_problem) {
    found.push(`No hit gets a verdict: ${state.stats.calibration_problem}`);
  }
  return found.map((text) => make("p", { class: "notice" }, text));
}

function card(hit, index) {
  const title = make("h3", { id: `hit-${index}` }, make("span", { class: "rank" }, `${index + 1}`), person(hit),
    make("span", { class: "distance" }, `distance ${near(hit.distance)}`));
  if (hit.verdict !== null) title.append(badge(hit));
  title.append(make("span", { class: "badge marked", hidden: true }));
  const facts = make("p", { class: "facts" }, ...place(hit), make("br"), make("span", { class: "name" }, name(hit.id)));
  return make("article", {
    class: "hit", tabIndex: index === state.current ? 0 : -1, "aria-labelledby": `hit-${index}`, "data-index": String(index),
    onfocusin: () => setCurrent(index),
  },
  make("button", { type: "button", class: "picture", "aria-label": `Compare hit ${index + 1} side by side`, "aria-keyshortcuts": "c",
    onclick: () => compare(index) }, pictured(pictureOf(hit.id), hit.reason, "hit", "")),
  make("div", {}, title, facts, bars(hit.reason)), menu(hit, index));
}

export const person = (hit) => make("span", { class: hit.person === null ? "person unknown" : "person" },
  hit.person === null ? "person unknown" : name(hit.person));
export const badge = (hit) => make("span", { class: `badge ${hit.verdict}` }, WORDS[hit.verdict]);
export const place = (hit) => [make("span", { class: "camera" }, "camera ", name(hit.camera)), " ",
  make("span", { class: "time" }, hit.time === null ? "time unknown" : `${moment(hit.time)} UTC`)];

// One menu a card; whatever is chosen closes it.
function menu(hit, index) {
  const panel = make("details", { class: "menu", onkeydown: (event) => {
    if (event.key !== "Escape" || !panel.open) return;
    event.stopPropagation();
    panel.open = false;
    panel.firstChild.focus();
  } });
  const button = (text, label, work, more = {}) => make("button", { type: "button", "aria-label": label, ...more, onclick: () => {
    panel.open = false;
    focusHit(index);
    work();
  } }, text);
  const actions = make("div", { class: "actions pop" },
    button("✓ Same person", `Same person: hit ${index + 1}`, () => setMark(index, "same"),
      { class: "same", "aria-pressed": "false", "data-mark": "same", "aria-keyshortcuts": "y" }),
    button("✗ Somebody else", `Somebody else: hit ${index + 1}`, () => setMark(index, "not"),
      { class: "not", "aria-pressed": "false", "data-mark": "not", "aria-keyshortcuts": "n" }),
    button("Compare", `Compare hit ${index + 1}`, () => compare(index), { "aria-keyshortcuts": "c" }),
    button("Search with it", `Search with hit ${index + 1} alone`, guarded(() => searchWith(hit))));
  if (may("add")) {
    const text = may("admin") ? "Remove or erase" : "Remove";
    actions.append(button(text, `${text}: hit ${index + 1}`, () => confirmRemoval(hit)));
  }
  panel.append(make("summary", { "aria-label": `Menu of hit ${index + 1}`, title: "Mark, compare, search, remove" }, "⋯"), actions);
  return panel;
}

export function closeMenus(target) {
  for (const panel of at("hits").querySelectorAll(".menu[open]")) if (!panel.contains(target)) panel.open = false;
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
    const tag = article.querySelector(".marked");
    tag.hidden = !mark;
    tag.textContent = mark === "same" ? "✓ same person" : "✗ somebody else";
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
