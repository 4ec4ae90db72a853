"use strict";

// The page of the service. Whatever comes from the server is put on the page as text, never as markup; pictures are fetched with
// the token in a header and shown as data. Nothing is kept but the token, and that only until the tab is closed.

(() => {
  const MAX_QUERY = 16; // pictures and stored items that make one query
  const MAX_LEFT_OUT = 200;
  const CROP_SIDE = 1280; // larger crops are made smaller before they are sent: methods look at some hundred pixels
  const LEAST = 8; // pixels of a box, each way
  const TAKEN = ["image/jpeg", "image/png", "image/webp"];
  const SVG = "http://www.w3.org/2000/svg";
  const ROLES = ["search", "add", "admin"];

  const at = (id) => document.getElementById(id);
  const may = (role) => state.about !== null && ROLES.indexOf(state.about.role) >= ROLES.indexOf(role);

  const state = {
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
    running: null, // an AbortController while a search is under way
  };
  const pictures = new Map(); // id -> promise of a URL or null, of the gallery that is chosen

  // -- making elements ---------------------------------------------------------------------------------------------------------

  function make(name, properties = {}, ...children) {
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

  function draw(name, attributes = {}, ...children) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  const name = (text) => make("bdi", {}, text); // texts from outside may run from right to left
  const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
  const near = (distance) => (distance === null ? "none" : distance.toFixed(3));

  function moment(seconds) {
    const text = new Date(seconds * 1000).toISOString();
    return text.slice(0, text.indexOf(".")).replace("T", " ");
  }

  function seconds(field) {
    if (field.value === "") return null;
    const found = Date.parse(`${field.value}Z`);
    return Number.isNaN(found) ? null : found / 1000;
  }

  // -- talking to the service --------------------------------------------------------------------------------------------------

  class Refused extends Error {
    constructor(status, text) {
      super(text);
      this.status = status;
    }
  }

  async function call(path, { method = "GET", json, form, signal, as = "json" } = {}) {
    const headers = {};
    const token = sessionStorage.getItem("token");
    if (token) headers.Authorization = `Bearer ${token}`;
    if (json !== undefined) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(`api/${path}`, {
        method, headers, signal, body: form ?? (json === undefined ? undefined : JSON.stringify(json)),
        cache: "no-store", credentials: "omit", redirect: "error",
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused(0, "The service cannot be reached. Is it still running?");
    }
    if (response.ok) return as === "blob" ? response.blob() : response.json();
    let detail = "";
    try {
      detail = String((await response.json()).detail);
    } catch {
      detail = "without a message";
    }
    throw new Refused(response.status, detail);
  }

  const inGallery = (path) => `galleries/${encodeURIComponent(state.gallery)}${path}`;

  function report(error) {
    if (error.name === "AbortError") return;
    const lead = { 0: "", 401: "A token is needed: ", 403: "Not allowed: ", 503: "The service is busy, try again: " };
    const text = error instanceof Refused ? `${lead[error.status] ?? `Refused (${error.status}): `}${error.message}` : String(error);
    at("problem").textContent = text;
    at("problem").hidden = false;
    at("status").textContent = "";
    if (error.status === 401) {
      at("token-panel").open = true;
      at("token").focus();
    } else {
      at("problem").scrollIntoView({ block: "nearest" });
    }
  }

  const clearProblem = () => { at("problem").hidden = true; };

  function guarded(work) {
    return async (event) => {
      clearProblem();
      try {
        await work(event);
      } catch (error) {
        report(error);
      }
    };
  }

  // Thumbnails are small: as data they need nobody to let go of them while others may still show them.
  function dataUrl(blob) {
    return new Promise((resolve) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.onerror = () => resolve(null);
      reader.readAsDataURL(blob);
    });
  }

  function pictureOf(id) {
    let found = pictures.get(id);
    if (!found) {
      found = call(inGallery(`/thumbnail?id=${encodeURIComponent(id)}`), { as: "blob" }).then(
        dataUrl,
        () => null,
      );
      pictures.set(id, found);
    }
    return found;
  }

  function forgetPictures(keep = new Set()) {
    for (const id of [...pictures.keys()]) if (!keep.has(id)) pictures.delete(id);
  }

  // -- which service, which gallery --------------------------------------------------------------------------------------------

  async function begin() {
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
      make("option", { value: one.name }, one.fits ? `${one.name} (${one.items})` : `${one.name} (cannot be used)`)));
    const chosen = galleries.find((one) => one.name === wanted) ?? galleries.find((one) => one.fits) ?? galleries[0];
    at("add-panel").hidden = !may("add") || !chosen;
    if (!chosen) {
      at("status").textContent = may("admin") ? "There is no gallery yet: make one." : "There is no gallery yet.";
      at("make-panel").open = may("admin");
      return;
    }
    at("gallery").value = chosen.name;
    await chooseGallery(chosen.name);
    if (chosen.problem) report(new Refused(0, `Gallery ${chosen.name} cannot be used: ${chosen.problem}`));
  }

  async function chooseGallery(chosen) {
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
    at("span").textContent = stats.first === null || stats.last === null ? "No item of this gallery has a time."
      : `Items from ${moment(stats.first)} to ${moment(stats.last)} UTC.`;
    countCameras();
    if (stats.items === 0) at("status").textContent = "This gallery is empty.";
  }

  const tickedCameras = () => [...at("cameras").querySelectorAll("input:checked")].map((box) => box.value);

  function countCameras() {
    const ticked = tickedCameras();
    at("camera-count").textContent = ticked.length ? `${ticked.length} of ${Object.keys(state.stats.cameras).length}` : "all";
  }

  // -- pictures of the person --------------------------------------------------------------------------------------------------

  async function takeFiles(files) {
    for (const file of files) {
      const source = await openPicture(file);
      const { image } = source;
      if (image.naturalHeight >= 1.3 * image.naturalWidth && image.naturalHeight <= 1024) await addWhole(source);
      else await editBoxes(source); // larger, or wider than people are
    }
  }

  async function openPicture(file) {
    const url = URL.createObjectURL(file);
    const image = make("img", { src: url });
    try {
      await image.decode();
    } catch {
      URL.revokeObjectURL(url);
      throw new Refused(0, `${file.name || "This"} is not a picture that this browser can show: choose a JPEG, PNG or WebP file.`);
    }
    return { file, url, image, label: file.name || "pasted picture" };
  }

  async function addWhole(source) {
    const { image, file } = source;
    const most = Math.max(image.naturalWidth, image.naturalHeight);
    const asItIs = TAKEN.includes(file.type) && most <= CROP_SIDE;
    const blob = asItIs ? file : await cut(image, [0, 0, image.naturalWidth, image.naturalHeight]);
    addCrop({ blob, source, box: null });
  }

  // Cut here and not at the server: only the person leaves this browser.
  async function cut(image, [x0, y0, x1, y1]) {
    const scale = Math.min(1, CROP_SIDE / Math.max(x1 - x0, y1 - y0));
    const canvas = make("canvas", {
      width: Math.max(LEAST, Math.round((x1 - x0) * scale)), height: Math.max(LEAST, Math.round((y1 - y0) * scale)),
    });
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(image, x0, y0, x1 - x0, y1 - y0, 0, 0, canvas.width, canvas.height);
    return new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
  }

  function addCrop({ blob, source, box }) {
    if (state.crops.length + state.items.size >= MAX_QUERY) {
      throw new Refused(0, `At most ${MAX_QUERY} pictures and items make one search: remove some first.`);
    }
    state.crops.push({ blob, url: URL.createObjectURL(blob), name: source.label, source, box });
    showQuery();
  }

  function dropCrop(crop) {
    state.crops.splice(state.crops.indexOf(crop), 1);
    state.stale.add(crop.url); // the answer that is shown may still be compared with it
    showQuery();
  }

  function showQuery() {
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

  // -- boxes on a larger picture -----------------------------------------------------------------------------------------------

  function editBoxes(source) {
    const stage = at("stage"), layer = at("stage-boxes"), image = at("stage-image"), dialog = at("boxes");
    let boxes = [], drag = null;
    image.src = source.url;
    const size = () => [source.image.naturalWidth, source.image.naturalHeight];
    const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

    function show(focus = -1) {
      const [width, height] = size();
      layer.replaceChildren(...boxes.map(([x0, y0, x1, y1], index) => {
        const box = make("div", { class: "box", tabIndex: 0, role: "group",
          "aria-label": `Box ${index + 1}: ${x1 - x0} by ${y1 - y0} pixels at ${x0}, ${y0}` }, make("span", {}, String(index + 1)));
        box.style.left = `${(100 * x0) / width}%`;
        box.style.top = `${(100 * y0) / height}%`;
        box.style.width = `${(100 * (x1 - x0)) / width}%`;
        box.style.height = `${(100 * (y1 - y0)) / height}%`;
        box.dataset.index = String(index);
        return box;
      }));
      if (focus >= 0) layer.children[focus]?.focus({ preventScroll: true });
      at("boxes-use").disabled = boxes.length === 0;
      at("boxes-status").textContent = boxes.length ? plural(boxes.length, "box", "boxes") : "No box yet.";
    }

    function place(event) {
      const [width, height] = size(), frame = image.getBoundingClientRect();
      return [clamp(Math.round(((event.clientX - frame.left) / frame.width) * width), 0, width),
        clamp(Math.round(((event.clientY - frame.top) / frame.height) * height), 0, height)];
    }

    function moved([x0, y0, x1, y1], dx, dy) {
      const [width, height] = size();
      const sx = clamp(dx, -x0, width - x1), sy = clamp(dy, -y0, height - y1);
      return [x0 + sx, y0 + sy, x1 + sx, y1 + sy];
    }

    stage.onpointerdown = (event) => {
      if (event.button !== 0 || drag) return;
      event.preventDefault();
      stage.setPointerCapture(event.pointerId);
      const [x, y] = place(event), index = event.target.closest?.(".box")?.dataset.index;
      if (index !== undefined) drag = { index: Number(index), x, y, box: boxes[index] };
      else if (boxes.length < MAX_QUERY) {
        boxes.push([x, y, x, y]);
        drag = { index: boxes.length - 1, x, y, box: null };
      }
    };
    stage.onpointermove = (event) => {
      if (!drag) return;
      const [x, y] = place(event);
      boxes[drag.index] = drag.box ? moved(drag.box, x - drag.x, y - drag.y)
        : [Math.min(x, drag.x), Math.min(y, drag.y), Math.max(x, drag.x), Math.max(y, drag.y)];
      show();
    };
    stage.onpointerup = stage.onpointercancel = () => {
      if (!drag) return;
      const { index } = drag;
      drag = null;
      boxes = boxes.filter(([x0, y0, x1, y1]) => x1 - x0 >= LEAST && y1 - y0 >= LEAST);
      show(Math.min(index, boxes.length - 1));
    };
    layer.onkeydown = (event) => {
      const index = Number(event.target.dataset.index);
      const [width, height] = size(), step = Math.max(1, Math.round(Math.max(width, height) / 100));
      const arrows = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
      if (event.key === "Delete" || event.key === "Backspace") boxes.splice(index, 1);
      else if (event.key in arrows) {
        const [dx, dy] = arrows[event.key], [x0, y0, x1, y1] = boxes[index];
        boxes[index] = event.shiftKey
          ? [x0, y0, clamp(x1 + dx, x0 + LEAST, width), clamp(y1 + dy, y0 + LEAST, height)] : moved(boxes[index], dx, dy);
      } else return;
      event.preventDefault();
      show(Math.min(index, boxes.length - 1));
    };
    at("boxes-add").onclick = () => {
      const [width, height] = size(), tall = Math.round(height * 0.6), wide = Math.min(width, Math.round(tall / 2));
      const x = Math.round((width - wide) / 2), y = Math.round((height - tall) / 2);
      boxes.push([x, y, x + wide, y + tall]);
      show(boxes.length - 1);
    };
    show();
    dialog.showModal();
    return new Promise((resolve, reject) => {
      let wanted = "";
      at("boxes-use").onclick = () => { wanted = "boxes"; dialog.close(); };
      at("boxes-whole").onclick = () => { wanted = "whole"; dialog.close(); };
      at("boxes-cancel").onclick = () => dialog.close();
      dialog.onclose = async () => {
        try {
          if (wanted === "whole") await addWhole(source);
          else if (wanted === "boxes") for (const box of boxes) addCrop({ blob: await cut(source.image, box), source, box });
          resolve(wanted !== "");
        } catch (error) {
          reject(error);
        }
      };
    });
  }

  // -- searching ---------------------------------------------------------------------------------------------------------------

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

  async function search() {
    if (!at("query").reportValidity()) return;
    if (!state.gallery) throw new Refused(0, "There is no gallery to search.");
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
      if (matchMedia("(max-width: 52rem)").matches) at("results").scrollIntoView({ block: "start" });
    } finally {
      if (state.running === running) {
        state.running = null;
        at("results").removeAttribute("aria-busy");
      }
    }
  }

  function restart() {
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
    countCameras();
    showQuery();
    showAnswer();
    at("file").focus();
  }

  // -- the answer --------------------------------------------------------------------------------------------------------------

  function showAnswer() {
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

  function setCurrent(index) {
    state.current = index;
    for (const article of at("hits").querySelectorAll(".hit")) article.tabIndex = Number(article.dataset.index) === index ? 0 : -1;
    for (const mark of at("chart").querySelectorAll(".mark")) mark.classList.toggle("here", mark.dataset.index === String(index));
  }

  function focusHit(index) {
    const article = at("hits").children[index]?.firstElementChild;
    if (!article) return;
    article.focus({ preventScroll: true });
    article.scrollIntoView({ block: "nearest" });
  }

  function setMark(index, mark) {
    const { id } = state.answer.hits[index];
    if (state.marks.get(id) === mark) state.marks.delete(id);
    else state.marks.set(id, mark);
    showMarks();
    showTimeline();
  }

  function showMarks() {
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

  function compare(index) {
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

  // -- the timeline ------------------------------------------------------------------------------------------------------------

  const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600,
    2592000, 7776000, 15552000, 31536000, 63072000, 157680000, 315360000, 1576800000, 3153600000];

  function showTimeline() {
    const hits = state.answer?.hits ?? [];
    const marks = hits.map((hit, index) => ({ hit, index, kind: state.marks.get(hit.id) ?? "" }));
    for (const hit of state.items.values()) marks.push({ hit, index: -1, kind: "query" });
    const timed = marks.filter(({ hit }) => hit.time !== null && hit.time !== undefined);
    at("timeline").hidden = hits.length === 0 || timed.length === 0;
    if (at("timeline").hidden) {
      at("chart").replaceChildren();
      return;
    }
    const width = Math.max(260, at("chart").clientWidth), gutter = Math.min(110, width * 0.24), right = 14;
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

  // -- changing the gallery ----------------------------------------------------------------------------------------------------

  // A question with buttons [value, text, class]; answers the value, or "" for no.
  function ask(title, texts, choices) {
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

  const confirmRemoval = (hit) => guarded(async () => {
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

  async function addToGallery() {
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
    const { added, present } = await call(inGallery("/items"), { method: "POST", form });
    await listGalleries();
    at("status").textContent = `${plural(added, "item")} added to ${state.gallery}.`
      + (present ? ` ${plural(present, "id")} there already, left as before.` : "");
    at("add-id").value = "";
  }

  async function makeGallery() {
    const made = at("make-name").value.trim(), days = Number(at("make-days").value);
    if (!/^[a-z0-9_-]{1,64}$/.test(made)) throw new Refused(0, "A gallery's name has 1 to 64 of a-z, 0-9, _ and -.");
    await call("galleries", { method: "POST", json: { name: made, ...(days > 0 ? { retention: days * 86400 } : {}) } });
    await listGalleries(made);
    at("make-name").value = "";
    at("status").textContent = `Gallery ${made} made.`;
  }

  // -- keys, drops, pastes -----------------------------------------------------------------------------------------------------

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
    if (target.closest?.("input, select, textarea, summary")) return;
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
  const take = (files) => guarded(() => takeFiles([...files].filter((file) => file.type.startsWith("image/"))))();

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
})();
