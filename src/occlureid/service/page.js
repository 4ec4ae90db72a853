// The page of the service. Whatever comes from the server is put on the page as text, never as markup; pictures are fetched with
// the token in a header and shown as data. Nothing is kept but the token, and that only until the tab is closed.

import { compare, stepCompared } from "./page_compare.js";
import { takeFiles } from "./page_crops.js";
import { at, narrow, state } from "./page_elements.js";
import { addToGallery, begin, chooseGallery, countCameras, makeGallery } from "./page_gallery.js";
import { closeMenus, focusHit, setMark, showMarks } from "./page_hits.js";
import { restart, search } from "./page_search.js";
import { clearProblem, guarded } from "./page_service.js";
import { showTimeline } from "./page_timeline.js";

function neighbour(index, key) {
  const articles = [...at("hits").querySelectorAll(".hit")];
  if (key === "Home") return 0;
  if (key === "End") return articles.length - 1;
  const top = articles[0].offsetTop;
  const columns = Math.max(1, articles.filter((article) => article.offsetTop === top).length);
  const next = index + { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
  return next >= 0 && next < articles.length ? next : index;
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const { target, key } = event;
  if (target.closest?.("input, select, textarea, summary") && !target.closest(".menu")) return;
  const hit = target.closest?.(".hit"), results = target === at("results"), nowhere = target === document.body;
  const index = hit ? Number(hit.dataset.index) : -1, some = Boolean(state.answer?.hits.length);
  if (key === "?") at("help").showModal();
  else if (key === "Enter" && (results || nowhere || target === hit)) searchNow();
  else if (hit && ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(key)) focusHit(neighbour(index, key));
  else if (some && results && key.startsWith("Arrow")) focusHit(state.current);
  else if (some && nowhere && (key === "ArrowLeft" || key === "ArrowRight")) focusHit(state.current);
  else if (hit && key === "y") setMark(index, "same");
  else if (hit && key === "n") setMark(index, "not");
  else if (hit && key === "c") compare(index);
  else return;
  event.preventDefault();
});

const searchNow = guarded(search);
const open = guarded(begin);
const take = (files) => guarded(() => takeFiles([...files]))();

at("query").addEventListener("submit", (event) => {
  event.preventDefault();
  searchNow();
});
at("search-again").addEventListener("click", searchNow);
at("clear-marks").addEventListener("click", () => {
  state.marks.clear();
  showMarks();
  showTimeline();
  focusHit(state.current);
});
at("restart").addEventListener("click", () => {
  clearProblem();
  restart();
});
at("file").addEventListener("change", () => {
  const files = [...at("file").files];
  at("file").value = "";
  take(files);
});
at("gallery").addEventListener("change", guarded(() => chooseGallery(at("gallery").value)));
at("cameras").addEventListener("change", countCameras);
at("add").addEventListener("click", guarded(addToGallery));
at("make").addEventListener("click", guarded(makeGallery));
at("add-fields").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.tagName === "INPUT") event.preventDefault(); // Enter searches; adding is a decision
});
at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", at("token").value.trim());
  at("token").value = "";
  at("token-panel").open = false;
  state.gallery = "";
  open();
});
at("token-forget").addEventListener("click", () => {
  sessionStorage.removeItem("token");
  location.reload();
});
at("help-open").addEventListener("click", () => at("help").showModal());
at("help-close").addEventListener("click", () => at("help").close());
at("compare-close").addEventListener("click", () => at("compare").close());
at("compare-previous").addEventListener("click", () => stepCompared(-1));
at("compare-next").addEventListener("click", () => stepCompared(1));
for (const [id, mark] of [["compare-same", "same"], ["compare-not", "not"]]) {
  at(id).addEventListener("click", () => {
    setMark(state.compared, mark);
    compare(state.compared);
  });
}
at("compare").addEventListener("keydown", (event) => {
  const press = { ArrowLeft: "compare-previous", ArrowRight: "compare-next", y: "compare-same", n: "compare-not" }[event.key];
  if (!press || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  if (!at(press).disabled) at(press).click();
});
at("compare").addEventListener("close", () => focusHit(state.compared));

// On a telephone the results come before the filters; the order of what is read and tabbed through is that of what is seen.
function place() {
  if (narrow.matches) at("results").after(at("more"));
  else at("query").append(at("more"));
  at("timeline").open = !narrow.matches;
}
narrow.addEventListener("change", place);
place();

document.addEventListener("pointerdown", (event) => closeMenus(event.target));
document.addEventListener("focusin", (event) => closeMenus(event.target));

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
document.addEventListener("drop", (event) => {
  event.preventDefault(); // or the browser would leave this page for the picture
  document.body.classList.remove("dropping");
  if (!document.querySelector("dialog[open]")) take(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length && !document.querySelector("dialog[open]")) take(event.clipboardData.files);
});
let width = 0;
new ResizeObserver(() => {
  if (at("chart").clientWidth === width) return;
  width = at("chart").clientWidth;
  if (state.answer && width) showTimeline();
}).observe(at("chart"));

open();
