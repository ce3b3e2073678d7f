// How both pages ask: with a key, if the server wants one. The browser's own EventSource can't carry it.
"use strict";

const KEY = "mnistq-key";

/** As `fetch`, with the key that a person gave; a server that wants another shows the field for it. */
async function request(path, options = {}) {
  const headers = new Headers(options.headers);
  const key = sessionStorage.getItem(KEY);
  if (key) headers.set("Authorization", `Bearer ${key}`);
  const response = await fetch(path, { ...options, headers });
  if (response.status === 401) document.getElementById("key").hidden = false;
  return response;
}

/** The server-sent events in a body: objects with `data`, and `id` and `event` if they have them. */
async function* eventsIn(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    const blocks = (rest + chunk.value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = block.split("\n").map((line) => [line.split(": ", 1)[0], line.slice(line.indexOf(": ") + 2)]);
      const event = Object.fromEntries(fields);
      if (event.data) yield event;
    }
  }
}

/**
 * Listens to events, and comes back by itself when the server goes: `tell.event` gets each, `tell.open` and `tell.lost`
 * say how it stands, `tell.refused` is the end.
 */
function listen(path, tell) {
  const control = new AbortController();
  const run = async () => {
    let last = null;
    while (!control.signal.aborted) {
      try {
        const response = await request(path, { headers: last ? { "Last-Event-ID": last } : {}, signal: control.signal });
        if (response.status === 204) return;
        if (response.status < 500) {
          if (!response.ok) return tell.refused(response);
          tell.open();
          for await (const event of eventsIn(response.body)) {
            last = event.id ?? last;
            tell.event(event);
          }
        }
      } catch {
        // It went, or we did.
      }
      if (control.signal.aborted) return;
      tell.lost();
      await new Promise((over) => setTimeout(over, 1000));
    }
  };
  run();
  return { close: () => control.abort() };
}

document.getElementById("key").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, document.getElementById("key-text").value.trim());
  location.reload();
});
