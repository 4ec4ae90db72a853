// Requests to the service, and its pictures.

import { at, make, pictures, state } from "./page_elements.js";

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

export async function call(path, { method = "GET", json, form, signal, as = "json" } = {}) {
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

export const inGallery = (path) => `galleries/${encodeURIComponent(state.gallery)}${path}`;

export function report(error) {
  if (error.name === "AbortError") return;
  const lead = { 0: "", 401: "A token is needed: ", 403: "Not allowed: ", 503: "The service is busy, try again: " };
  const text = error instanceof Refused ? `${lead[error.status] ?? `Refused (${error.status}): `}${error.message}` : String(error);
  at("problem").replaceChildren(...text.split("\n").map((line) => make("p", {}, line)));
  at("problem").hidden = false;
  at("status").textContent = "";
  if (error.status === 401) {
    at("token-panel").open = true;
    at("token").focus();
  } else {
    at("problem").scrollIntoView({ block: "nearest" });
  }
}

export const clearProblem = () => { at("problem").hidden = true; };

export function guarded(work) {
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

export function pictureOf(id) {
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

export function forgetPictures(keep = new Set()) {
  for (const id of [...pictures.keys()]) if (!keep.has(id)) pictures.delete(id);
}
