"use strict";

// Copying commands, and bringing bundles. Everything else on these pages works without this file.
(() => {
  const byId = (id) => document.getElementById(id);

  // -- copying ---------------------------------------------------------------------------------

  async function copy(text) {
    if (navigator.clipboard && window.isSecureContext) {
      await navigator.clipboard.writeText(text);
      return;
    }
    // plain HTTP from another machine has no clipboard; a selection can still be copied
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    area.setAttribute("readonly", "");
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) throw new Error("refused");
  }

  for (const button of document.querySelectorAll("[data-copy]")) {
    const label = button.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      let said = "Copied";
      try {
        await copy(byId(button.dataset.copy).textContent);
      } catch {
        said = "Not copied";
      }
      button.textContent = said;
      const status = byId("copied");
      if (status) status.textContent = said;
      button.focus();
      setTimeout(() => { button.textContent = label; }, 2000);
    });
  }

  // -- bringing a bundle -----------------------------------------------------------------------

  const form = byId("upload");
  if (!form) return;

  const MiB = 1024 * 1024;
  const smallest = MiB / 4, largest = 16 * MiB;
  const token = form.dataset.token;
  const input = byId("bundle"), drop = byId("drop"), start = byId("start"), stop = byId("stop");
  let file = null, running = null;

  const outcomes = {
    pushed: "is new", present: "was here already", skipped: "was left as it is",
    "image-only": "is one platform instead of its index",
    waiting: "waits for the bundle that this one completes",
  };
  const units = ["kB", "MB", "GB", "TB"];
  function size(bytes) {
    if (bytes < 1000) return `${bytes} B`;
    let value = bytes, unit = -1;
    do { value /= 1000; unit += 1; } while (value >= 999.95 && unit < units.length - 1);
    return `${value.toFixed(1)} ${units[unit]}`;
  }

  // A file that is on its way already goes where it was going.
  function recall(chosen) {
    for (const one of document.querySelectorAll(".unfinished")) {
      if (one.dataset.name !== chosen.name || Number(one.dataset.size) !== chosen.size) continue;
      const options = JSON.parse(one.dataset.options);
      byId("prefix").value = options.prefix;
      byId("keep-host").checked = options.keepHost;
      byId("existing").value = options.onExistingTag;
      byId("sparse").value = options.sparse;
    }
  }

  function choose(chosen) {
    file = chosen;
    if (file) recall(file);
    start.disabled = !file || running !== null;
    byId("drop-hint").textContent = file ? `${file.name}, ${size(file.size)}` : "or drop it here";
  }

  form.hidden = false;
  choose(input.files[0] || null);
  input.addEventListener("change", () => choose(input.files[0] || null));
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      if (!running) drop.classList.add("over");
    });
  }
  for (const name of ["dragleave", "drop"]) {
    drop.addEventListener(name, () => drop.classList.remove("over"));
  }
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    const dropped = event.dataTransfer.files[0];
    if (dropped && !running) choose(dropped);
  });
  // a file that misses the field must not replace the page
  for (const name of ["dragover", "drop"]) {
    window.addEventListener(name, (event) => event.preventDefault());
  }
  window.addEventListener("beforeunload", (event) => { if (running) event.preventDefault(); });

  class Refused extends Error {
    constructor(error) {
      super(error.message);
      this.hint = error.hint || "";
    }
  }

  // One question to the server. What answers at all is final; a broken connection is tried again.
  async function ask(method, path, body, signal) {
    for (let pause = 500; ; pause = Math.min(pause * 2, 15000)) {
      try {
        const answer = await fetch(path, {
          method, body, signal, headers: { "X-Airgap-Form-Token": token }, credentials: "same-origin",
        });
        if (answer.status < 500 || answer.status === 503) {
          const value = await answer.json();
          if (answer.ok || answer.status === 409) return value;
          throw new Refused(value.error);
        }
        if (answer.status === 507 || answer.status === 500) {
          throw new Refused((await answer.json()).error);
        }
      } catch (error) {
        if (error instanceof Refused || signal.aborted) throw error;
      }
      if (method === "PUT") return null; // where to go on is asked for first
      say("The connection broke. Trying again…");
      await new Promise((resolve) => setTimeout(resolve, pause));
      signal.throwIfAborted();
    }
  }

  function say(text) {
    const state = byId("state");
    if (state.textContent !== text) state.textContent = text;
  }

  function show(status) {
    const bar = byId("bar");
    if (status.state === "front") {
      say("Reading what the bundle holds…");
    } else if (status.state === "content") {
      const total = status.total || 0;
      bar.max = total || 1;
      bar.value = total ? Math.min(status.done, total) : 1;
      say(total ? `${size(status.done)} of ${size(total)}` : "All of it is here already");
    }
  }

  async function send(signal) {
    byId("file").textContent = `${file.name}, ${size(file.size)}`;
    let status = await ask("POST", "/-/arrivals", JSON.stringify({
      name: file.name, size: file.size, mark: String(file.lastModified),
      prefix: byId("prefix").value.trim(), keepHost: byId("keep-host").checked,
      onExistingTag: byId("existing").value, sparse: byId("sparse").value,
    }), signal);
    const path = `/-/arrivals/${encodeURIComponent(status.id)}`;
    running.path = path;
    stop.hidden = false;
    let piece = MiB;
    while (status.state === "front" || status.state === "content") {
      show(status);
      const want = status.want;
      if (!want) {
        status = await ask("GET", path, undefined, signal);
        continue;
      }
      const length = Math.min(want.size, piece);
      const began = performance.now();
      const bytes = file.slice(want.offset, want.offset + length);
      const next = await ask("PUT", `${path}?offset=${want.offset}`, bytes, signal);
      const took = performance.now() - began;
      if (next && length === piece && took < 1000) piece = Math.min(piece * 2, largest);
      if (!next || took > 5000) piece = Math.max(piece / 2, smallest);
      status = next || await ask("GET", path, undefined, signal);
    }
    return status;
  }

  function sentence(text) {
    return text && `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
  }

  function finish(kind, title, text, hint, images) {
    const outcome = byId("outcome");
    outcome.className = kind;
    byId("outcome-title").textContent = title;
    byId("outcome-text").textContent = sentence(text);
    byId("outcome-hint").textContent = sentence(hint);
    byId("outcome-images").replaceChildren(...images.map((image) => {
      const item = document.createElement("li"), link = document.createElement("a");
      const name = image.tag ? `${image.repository}:${image.tag}` : `${image.repository}@${image.digest}`;
      link.href = `/r/${name.split("/").map(encodeURIComponent).join("/")}`;
      link.textContent = name;
      item.append(link, ` ${outcomes[image.outcome] || image.outcome}`);
      return item;
    }));
    outcome.hidden = false;
    outcome.focus();
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!file || running) return;
    const control = new AbortController();
    running = { control, path: "" };
    start.disabled = true;
    byId("outcome").hidden = true;
    byId("progress").hidden = false;
    byId("bar").removeAttribute("value");
    for (const one of document.querySelectorAll(".unfinished")) one.hidden = true;
    try {
      const status = await send(control.signal);
      if (status.state === "done") {
        const arrival = status.arrival;
        finish("done", "The bundle is here", `${size(arrival.sent)} were new.`,
          arrival.notes.join(" "), arrival.images);
      } else {
        const error = status.error || { message: "the upload was ended", hint: "" };
        finish("failed", status.state === "cancelled" ? "Cancelled" : "The bundle was not imported",
          error.message, error.hint, []);
      }
    } catch (error) {
      const hint = error.hint || "Load the page again and choose the same file to go on.";
      const title = control.signal.aborted ? "Cancelled" : "The bundle was not imported";
      const text = control.signal.aborted ? "What arrived is kept." : error.message;
      finish("failed", title, text, hint, []);
    }
    running = null;
    stop.hidden = true;
    byId("progress").hidden = true;
    start.disabled = false;
  });

  stop.addEventListener("click", () => {
    const { control, path } = running;
    control.abort();
    fetch(path, { method: "DELETE", headers: { "X-Airgap-Form-Token": token } }).catch(() => {});
  });
})();
