// Boxes on a larger picture.

import { addCrop, addWhole, cut } from "./page_crops.js";
import { at, LEAST, make, MAX_QUERY, plural } from "./page_elements.js";

export function editBoxes(source) {
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
