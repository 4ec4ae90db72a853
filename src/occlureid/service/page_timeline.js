// Where and when the hits were taken.

import { at, draw, moment, near, plural, state } from "./page_elements.js";
import { focusHit, setCurrent } from "./page_hits.js";

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600,
  2592000, 7776000, 15552000, 31536000, 63072000, 157680000, 315360000, 1576800000, 3153600000];

export function showTimeline() {
  const hits = state.answer?.hits ?? [];
  const marks = hits.map((hit, index) => ({ hit, index, kind: state.marks.get(hit.id) ?? "" }));
  for (const hit of state.items.values()) marks.push({ hit, index: -1, kind: "query" });
  const timed = marks.filter(({ hit }) => hit.time !== null && hit.time !== undefined);
  at("timeline").hidden = hits.length === 0 || timed.length === 0;
  if (at("timeline").hidden) {
    at("chart").replaceChildren();
    return;
  }
  const width = Math.max(260, at("chart").clientWidth || at("hits").clientWidth - 32), gutter = Math.min(110, width * 0.24), right = 14;
  let first = Math.min(...timed.map(({ hit }) => hit.time)), last = Math.max(...timed.map(({ hit }) => hit.time));
  if (last === first) [first, last] = [first - 1, last + 1];
  const across = (time) => gutter + 12 + ((time - first) / (last - first)) * (width - gutter - right - 12);
  const svg = draw("svg", { role: "group", "aria-label": "One row a camera, one mark a hit; the number is its rank" });
  const cameras = [...new Set(timed.map(({ hit }) => hit.camera))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  let top = 4;
  for (const camera of cameras) {
    const lanes = []; // the end of the last mark in each, so that no mark hides another
    const placed = timed.filter(({ hit }) => hit.camera === camera).sort((a, b) => a.hit.time - b.hit.time).map((mark) => {
      const x = across(mark.hit.time);
      let lane = lanes.findIndex((end) => end <= x - 11);
      if (lane < 0) lane = lanes.length;
      lanes[lane] = x + 11;
      return { ...mark, x, lane };
    });
    const tall = lanes.length * 24 + 6, middle = top + tall / 2;
    const shown = camera.length > gutter / 7 ? `${camera.slice(0, Math.max(1, Math.floor(gutter / 7) - 1))}…` : camera;
    svg.append(draw("line", { x1: gutter, x2: width, y1: top + tall, y2: top + tall }),
      draw("text", { x: 0, y: middle + 4 }, draw("title", {}, camera), shown));
    for (const { hit, index, kind, x, lane } of placed) {
      svg.append(timeMark(hit, index, kind, x, top + 15 + lane * 24));
    }
    top += tall;
  }
  const axis = draw("g", { class: "axis", "aria-hidden": "true" });
  const room = Math.max(2, Math.floor((width - gutter) / 130));
  const step = STEPS.find((one) => (last - first) / one <= room) ?? STEPS.at(-1);
  for (let tick = Math.ceil(first / step) * step; tick <= last; tick += step) {
    const x = across(tick), text = moment(tick);
    const label = step >= 86400 ? text.slice(0, -9) : text.slice(text.length - 14, step >= 60 ? -3 : undefined);
    const anchor = x > width - 45 ? "end" : x < gutter + 45 ? "start" : "middle";
    axis.append(draw("line", { x1: x, x2: x, y1: 0, y2: top + 4 }), draw("text", { x, y: top + 17, "text-anchor": anchor }, label));
  }
  svg.prepend(axis);
  svg.setAttribute("viewBox", `0 0 ${width} ${top + 22}`);
  svg.setAttribute("height", top + 22);
  at("chart").replaceChildren(svg);
  const without = marks.length - timed.length;
  at("legend").textContent = `Numbers are ranks; times are UTC, ${moment(first)} to ${moment(last)}.`
    + " Filled square: marked as the same; dashed and struck out: somebody else; diamond: in your search."
    + (without ? ` ${plural(without, "hit")} without a time.` : "");
  setCurrent(state.current);
}

function timeMark(hit, index, kind, x, y) {
  const label = index < 0 ? `In your search: camera ${hit.camera}, ${moment(hit.time)}`
    : `Hit ${index + 1}: camera ${hit.camera}, ${moment(hit.time)}, distance ${near(hit.distance)}`
      + `${kind === "same" ? ", marked as the same" : kind === "not" ? ", marked as somebody else" : ""}`;
  const shape = kind === "same" ? draw("rect", { x: x - 10, y: y - 10, width: 20, height: 20, rx: 2 })
    : kind === "query" ? draw("path", { d: `M${x - 11} ${y}L${x} ${y - 11}L${x + 11} ${y}L${x} ${y + 11}Z` })
      : draw("circle", { cx: x, cy: y, r: 10 });
  shape.setAttribute("class", "shape");
  const mark = draw("g", { class: `mark ${kind}` }, draw("title", {}, label), shape,
    draw("text", { x, y: y + 4, "text-anchor": "middle", "aria-hidden": "true" }, index < 0 ? "Q" : String(index + 1)));
  if (index < 0) {
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", label);
    return mark;
  }
  mark.setAttribute("role", "button");
  mark.setAttribute("aria-label", label);
  mark.setAttribute("tabindex", index === 0 ? "0" : "-1");
  mark.dataset.index = String(index);
  mark.addEventListener("click", () => focusHit(index));
  mark.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      event.stopPropagation();
      focusHit(index);
    } else if (event.key.startsWith("Arrow")) {
      event.preventDefault();
      event.stopPropagation();
      const all = [...at("chart").querySelectorAll("[role=button]")];
      const back = event.key === "ArrowLeft" || event.key === "ArrowUp";
      const next = all[all.indexOf(mark) + (back ? -1 : 1)];
      if (next) {
        mark.setAttribute("tabindex", "-1");
        next.setAttribute("tabindex", "0");
        next.focus();
      }
    }
  });
  return mark;
}
