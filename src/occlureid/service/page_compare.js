// Pictures with their parts, the bars of a hit, and two pictures side by side.

import { at, draw, make, name, near, plural, state } from "./page_elements.js";
import { badge, person, place, setCurrent } from "./page_hits.js";
import { pictureOf } from "./page_service.js";

// A picture with its parts: outlined where compared, hatched where not seen, dotted where only this side shows them.
export function pictured(promise, reason, side, alt, named = false) {
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
    if (!reason) return;
    frame.append(outlines(reason, parts, side, (100 * image.naturalHeight) / image.naturalWidth));
    if (named) frame.append(...tags(reason, parts, side));
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

// The names of the parts upon the picture; the table says the same.
function tags(reason, parts, side) {
  return parts.flatMap(({ name: called, region }, index) => {
    if (!region) return [];
    const here = side === "hit" ? reason.parts[index].in_hit : reason.parts[index].in_query;
    const tag = make("span", { class: here ? "tag" : "tag hiding", "aria-hidden": "true" }, name(called), here ? "" : " not seen");
    tag.style.top = `${100 * region.top}%`;
    tag.style.left = `${100 * region.left}%`;
    return [tag];
  });
}

function scale() {
  const all = state.answer.hits.flatMap(({ reason }) =>
    [reason.global_distance, reason.spatial_distance, ...reason.parts.map((part) => part.distance)]);
  return Math.max(1e-9, ...all.filter((distance) => distance !== null));
}

export function bars(reason) {
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

export function compare(index) {
  const hit = state.answer.hits[index], urls = state.queryUrls, one = urls.length === 1;
  const mark = state.marks.get(hit.id), last = state.answer.hits.length - 1;
  state.compared = index;
  setCurrent(index);
  const picture = (url, reason, side, alt) => make("span", { class: "picture" }, pictured(url, reason, side, alt, true));
  const asked = one ? "Your picture" : `Your ${plural(urls.length, "picture")}, searched as one`;
  at("compare-query").replaceChildren(make("p", {}, asked), make("div", { class: one ? "" : "many" },
    ...urls.map((url, number) => picture(url, one ? hit.reason : null, "query", one ? asked : `Your picture ${number + 1}`))));
  at("compare-hit").replaceChildren(make("p", {}, `Hit ${index + 1}`),
    make("div", {}, picture(pictureOf(hit.id), hit.reason, "hit", `Hit ${index + 1}`)));
  at("compare-bars").replaceChildren(bars(hit.reason));
  at("compare-title").replaceChildren(`Hit ${index + 1} of ${last + 1}: `, person(hit));
  at("compare-facts").replaceChildren(...place(hit), ` · distance ${near(hit.distance)} `, ...(hit.verdict === null ? [] : [badge(hit)]));
  at("compare-previous").disabled = index === 0;
  at("compare-next").disabled = index === last;
  at("compare-same").setAttribute("aria-pressed", String(mark === "same"));
  at("compare-not").setAttribute("aria-pressed", String(mark === "not"));
  if (!at("compare").open) at("compare").showModal();
}

export function stepCompared(by) {
  const next = state.compared + by;
  if (next >= 0 && next < state.answer.hits.length) compare(next);
}
