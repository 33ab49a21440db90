// Finds a file by its SHA-256. The browser takes the digest; the file is sent nowhere. Runs on one page,
// /by-digest, whose form works without it.
"use strict";

// crypto.subtle takes no stream: a file is in memory whole.
const LARGEST_BYTES = 1024 * 1024 * 1024;

// The SHA-256 of a Blob (a File is one), in lower-case hexadecimal.
async function sha256(blob, subtle) {
  const digest = await subtle.digest("SHA-256", await blob.arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Where a file leads: a path of this service, or the reason why there is none.
async function lead(file, subtle) {
  if (file.size > LARGEST_BYTES) {
    return { why: "This file is too large for a browser: run sha256sum, and enter what it prints." };
  }
  try {
    return { path: "/?q=sha256:" + (await sha256(file, subtle)) };
  } catch {
    return { why: "This file could not be read. A folder has no digest." };
  }
}

function start(document, window) {
  const said = document.getElementById("said");
  const subtle = window.crypto && window.crypto.subtle;
  if (!subtle) {
    said.textContent =
      "Over plain http, browsers take no digests except on localhost: run sha256sum, and enter what it prints.";
    return;
  }
  const find = async (files) => {
    if (files.length !== 1) {
      said.textContent = files.length ? "One file at a time, please." : "";
      return;
    }
    said.textContent = "Taking the digest…";
    const { path, why } = await lead(files[0], subtle);
    said.textContent = why || "";
    if (path) window.location.assign(path);
  };
  const input = document.getElementById("file");
  input.addEventListener("change", () => find(input.files));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    find(event.dataTransfer.files);
  });
  document.getElementById("drop").hidden = false;
}

if (typeof document !== "undefined") start(document, window);
