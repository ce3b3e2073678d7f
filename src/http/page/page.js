// The page: a paper to draw on, the answer after every stroke, the digit's way through the queue, and the queue at work.
"use strict";

const element = (id) => document.getElementById(id);
const paper = element("paper");
const ink = paper.getContext("2d");
const LINE = 22;
const MOMENTS = 120;

// ---- Drawing: strokes are points, so that the last one can be taken back.
let strokes = [];
let picture = null;
let drawing = null;

function point(event) {
  const box = paper.getBoundingClientRect();
  return [(event.clientX - box.left) * paper.width / box.width, (event.clientY - box.top) * paper.height / box.height];
}

function redraw() {
  ink.fillStyle = "#fff";
  ink.fillRect(0, 0, paper.width, paper.height);
  if (picture) {
    const scale = Math.min(paper.width / picture.width, paper.height / picture.height);
    const [width, height] = [picture.width * scale, picture.height * scale];
    ink.imageSmoothingEnabled = scale < 1;
    ink.drawImage(picture, (paper.width - width) / 2, (paper.height - height) / 2, width, height);
  }
  ink.strokeStyle = "#111";
  ink.lineWidth = LINE;
  ink.lineCap = ink.lineJoin = "round";
  for (const stroke of strokes) {
    ink.beginPath();
    ink.moveTo(...stroke[0]);
    for (const next of stroke) ink.lineTo(...next);
    ink.stroke();
  }
}

paper.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  event.preventDefault();
  paper.setPointerCapture(event.pointerId);
  if (picture) { picture = null; strokes = []; }
  drawing = [point(event)];
  strokes.push(drawing);
  redraw();
});
paper.addEventListener("pointermove", (event) => {
  if (!drawing) return;
  for (const part of event.getCoalescedEvents?.() ?? [event]) drawing.push(point(part));
  redraw();
});
for (const end of ["pointerup", "pointercancel"]) {
  paper.addEventListener(end, () => {
    if (!drawing) return;
    drawing = null;
    askPaper();
  });
}
element("undo").addEventListener("click", () => {
  if (picture) picture = null; else strokes.pop();
  redraw();
  strokes.length ? askPaper() : forget();
});
element("clear").addEventListener("click", () => {
  strokes = [];
  picture = null;
  redraw();
  forget();
});

function askPaper() {
  paper.toBlob((blob) => ask(blob), "image/png");
}

// ---- Pictures: chosen, dropped, pasted, or an example.
async function take(file) {
  strokes = [];
  picture = await createImageBitmap(file).catch(() => null);
  redraw();
  ask(file);
}

element("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  event.target.value = "";
  if (file) take(file);
});
paper.addEventListener("dragover", (event) => { event.preventDefault(); paper.classList.add("over"); });
paper.addEventListener("dragleave", () => paper.classList.remove("over"));
paper.addEventListener("drop", (event) => {
  event.preventDefault();
  paper.classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) take(file);
});
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((file) => file.type.startsWith("image/"));
  if (file) take(file);
});
for (let digit = 0; digit < 10; digit += 1) {
  const button = document.createElement("button");
  const image = document.createElement("img");
  button.type = "button";
  image.src = `/digits/${digit}.png`;
  image.alt = `A handwritten ${digit}`;
  button.append(image);
  button.addEventListener("click", async () => take(await (await fetch(image.src)).blob()));
  element("examples").append(button);
}

// ---- The answer.
const percent = (share) => `${(share * 100).toFixed(share > 0.9995 || share < 0.0005 ? 0 : 1)} %`;
const bars = [];
for (let digit = 0; digit < 10; digit += 1) {
  const row = document.createElement("li");
  const name = document.createElement("span");
  const bar = document.createElement("div");
  const length = document.createElement("span");
  const share = document.createElement("span");
  name.textContent = digit;
  bar.className = "bar";
  bar.append(length);
  row.append(name, bar, share);
  element("bars").append(row);
  bars.push({ row, length, share });
  measure(digit, null);
}

function measure(digit, probability) {
  const { length, share } = bars[digit];
  length.style.width = `${(probability ?? 0) * 100}%`;
  share.textContent = probability === null ? "–" : percent(probability);
}

const milliseconds = (time) => `${time < 10 ? time.toFixed(1) : Math.round(time)} ms`;

/// Of all that was asked, only the last counts.
let turn = 0;
let events = null;
let waiting = null;

function forget() {
  turn += 1;
  events?.close();
  events = null;
  if (waiting) request(`/result/${waiting}`, { method: "DELETE" }).catch(() => {});
  waiting = null;
  bars.forEach(({ row }, digit) => {
    measure(digit, null);
    row.classList.remove("best");
  });
  element("answer").textContent = "–";
  element("confidence").textContent = "Draw something.";
  element("seen").getContext("2d").clearRect(0, 0, 28, 28);
  for (const stage of ["upload", "queued", "batch", "done"]) show(stage, "", null);
}

function show(stage, words, state) {
  const item = element(`stage-${stage}`);
  item.className = state ?? "";
  item.querySelector("span").textContent = words;
}

async function ask(blob) {
  forget();
  const mine = turn;
  const current = () => mine === turn;
  const began = performance.now();
  element("confidence").textContent = "…";
  showSeen(blob, current);
  let response;
  try {
    response = await request("/classify", { method: "POST", body: blob });
  } catch {
    return away(current, () => ask(blob));
  }
  const body = await response.json().catch(() => ({}));
  if (!current()) {
    if (body.inference_id) request(`/result/${body.inference_id}`, { method: "DELETE" }).catch(() => {});
    return;
  }
  if (response.status !== 202) return refused(response, body, current, () => ask(blob));
  calm();
  waiting = body.inference_id;
  const uploaded = performance.now() - began;
  show("upload", milliseconds(uploaded), "past");
  show("queued", `id ${waiting.slice(0, 8)}…`, "past");
  follow(waiting, current, began, () => ask(blob));
}

function follow(id, current, began, again) {
  const endings = {
    succeeded: (result) => succeeded(result, performance.now() - began),
    failed: (result) => ended(result.error?.detail ?? "It failed."),
    expired: () => ended("Nobody took it before its deadline. Is a worker running?"),
    cancelled: () => ended("It was cancelled."),
  };
  const mine = listen(`/result/${id}/events`, {
    open: calm,
    event: ({ event, data }) => {
      if (!endings[event]) return;
      mine.close();
      if (!current()) return;
      waiting = null;
      endings[event](JSON.parse(data));
    },
    lost: () => trouble("The server does not answer. What was uploaded is kept: the answer comes once it is back."),
    refused: () => away(current, again),
  });
  events = mine;
}

function succeeded(result, total) {
  calm();
  element("answer").textContent = result.predicted_class;
  element("confidence").textContent = `${percent(result.confidence)} sure`;
  result.probabilities.forEach((probability, digit) => {
    measure(digit, probability);
    bars[digit].row.classList.toggle("best", digit === result.predicted_class);
  });
  const { reading_ms: reading, queued_ms: queued, inference_ms: inference } = result.timings;
  show("upload", `${milliseconds(reading)} to receive and read it`, "past");
  show("queued", `${milliseconds(queued)} until a worker took it`, "past");
  const others = result.batch_size === 1 ? "alone" : `one of ${result.batch_size}`;
  show("batch", `${others}, ${milliseconds(inference)} on ${result.device}, ${result.worker}`, "past");
  show("done", `${milliseconds(total)} from your stroke to the answer`, "past");
}

function ended(words) {
  element("confidence").textContent = words;
  show("done", words, "failed");
}

async function showSeen(blob, current) {
  try {
    const response = await request("/normalize", { method: "POST", body: blob });
    if (!response.ok || !current()) return;
    const { width, height, pixels } = await response.json();
    const image = new ImageData(width, height);
    pixels.forEach((pixel, place) => image.data.set([pixel, pixel, pixel, 255], place * 4));
    const seen = element("seen");
    [seen.width, seen.height] = [width, height];
    seen.getContext("2d").putImageData(image, 0, 0);
    seen.setAttribute("aria-label", `What the model sees: your digit in ${width} by ${height} pixels`);
  } catch {
    // The upload itself tells what is wrong.
  }
}

// ---- Trouble: what happened, and what to do.
function trouble(words) {
  const place = element("trouble");
  place.textContent = words;
  place.hidden = false;
}

function calm() {
  element("trouble").hidden = true;
}

function away(current, again) {
  trouble("The server does not answer: is mnistq serve running? Trying again…");
  element("confidence").textContent = "Waiting for the server.";
  setTimeout(() => current() && again(), 1000);
}

function refused(response, problem, current, again) {
  const wait = Number(response.headers.get("Retry-After"));
  const words = problem.detail ?? `The server answered ${response.status}.`;
  if (wait > 0) {
    trouble(`${problem.title ?? "Not now"}: ${words}. Trying again in ${wait} s…`);
    element("confidence").textContent = `Waiting ${wait} s, as the server asked.`;
    setTimeout(() => current() && again(), wait * 1000);
    return;
  }
  trouble(`${problem.title ?? "Refused"}: ${words}.`);
  element("confidence").textContent = "No answer.";
  show("upload", problem.title ?? "refused", "failed");
}

// ---- The queue at work.
const history = { backlog: [], rate: [], batch: [] };

function chart(name, value, words) {
  const values = history[name];
  values.push(value);
  if (values.length > MOMENTS) values.shift();
  const most = Math.max(...values, 1);
  const points = values.map((value, place) => `${120 - (values.length - 1 - place) * 120 / (MOMENTS - 1)},${38 - value / most * 36}`);
  element(`chart-${name}`).firstElementChild.setAttribute("points", points.join(" "));
  element(name).textContent = words;
}

function row(cells) {
  const row = document.createElement("tr");
  for (const cell of cells) {
    const place = document.createElement("td");
    place.textContent = cell;
    row.append(place);
  }
  return row;
}

listen("/live", {
  event: ({ data }) => {
    const moment = JSON.parse(data);
    chart("backlog", moment.backlog ?? 0, moment.backlog ?? "unknown");
    chart("rate", moment.results_per_second, Math.round(moment.results_per_second));
    chart("batch", moment.batch_size ?? 0, moment.batch_size ?? "–");
    const rows = moment.workers.map(({ name, device, results, largest_batch }) => row([name, device, results, largest_batch]));
    if (rows.length) element("workers").replaceChildren(...rows);
    element("flood").hidden = moment.flood === 0;
    element("flood-count").max = moment.flood;
  },
  open: () => { if (!waiting) calm(); },
  lost: () => trouble("The server does not answer: is mnistq serve running? This page comes back with it."),
  refused: () => {},
});

element("flood").addEventListener("submit", async (event) => {
  event.preventDefault();
  const place = element("flooded");
  place.textContent = "…";
  try {
    const response = await request(`/flood?n=${element("flood-count").valueAsNumber || 0}`, { method: "POST" });
    const body = await response.json();
    if (!response.ok) {
      place.textContent = body.detail;
    } else {
      const refused = body.refused ? `, ${body.refused} refused: ${body.problem.title}, Retry-After ${body.retry_after ?? "none"} s` : "";
      place.textContent = `${body.accepted} queued${refused}`;
    }
  } catch {
    place.textContent = "The server does not answer.";
  }
});

redraw();
