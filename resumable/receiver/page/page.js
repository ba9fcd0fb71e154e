// The page of a receiver: a live list of uploads, and a place to drop files on.

import { ask, Queue } from "./queue.js";
import { SpeedMeter, ago, bytes, duration, percent, quantity } from "./words.js";

const MOST_ROWS = 100;

const find = (id) => document.getElementById(id);
const queue = new Queue({ announce, changed, refused, stored, trouble });


// ---- Adding files ----------------------------------------------------------------------------------------------------

async function* walk(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    yield [file, entry.fullPath.replace(/^\//, "")];
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return;
    for (const inner of entries) yield* walk(inner);
  }
}

async function dropped(transfer) {
  // The transfer is emptied after its event, so all entries are read before the first await.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  const files = [];
  let unread = 0;
  for (const entry of entries) {
    try {
      for await (const found of walk(entry)) files.push(found);
    } catch {
      unread += 1;
    }
  }
  find("refused").textContent = unread ? `${quantity(unread, "dropped item")} could not be read.` : "";
  add(files);
}

function add(files) {
  if (files.length) announce(`${quantity(files.length, "file")} added.`);
  queue.add(files);
  list();
}

function dragging(yes) {
  document.body.classList.toggle("dragging", yes);
}

document.addEventListener("dragover", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "copy";
  dragging(true);
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) dragging(false);
});
document.addEventListener("drop", (event) => {
  dragging(false);
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  dropped(event.dataTransfer);
});
for (const field of [find("files"), find("folder")]) {
  field.addEventListener("change", () => {
    add([...field.files].map((file) => [file, file.webkitRelativePath || file.name]));
    field.value = "";
  });
}


// ---- The token -------------------------------------------------------------------------------------------------------

function refused() {
  if (!find("access").hidden) return;
  find("access").hidden = false;
  find("access-reason").textContent = queue.token ? "The token is wrong." : "This server requires a token.";
  find("token").focus();
}

find("access").addEventListener("submit", (event) => {
  event.preventDefault();
  queue.token = find("token").value;
  find("access").hidden = true;
  list();
});


// ---- Messages --------------------------------------------------------------------------------------------------------

function announce(sentence) {
  find("news").textContent = sentence;
}

function trouble(sentence) {
  find("trouble").textContent = sentence;
  find("trouble").hidden = !sentence;
}

function stored(upload) {
  announce(`${upload.path} was uploaded.`);
  list();
}


// ---- Rows ------------------------------------------------------------------------------------------------------------

const ACTIONS = {
  waiting: ["pause", "cancel"],
  sending: ["pause", "cancel"],
  paused: ["resume", "cancel"],
  failed: ["retry", "cancel"],
  done: [],
};

function row(name) {
  const element = find("row").content.firstElementChild.cloneNode(true);
  element.querySelector(".name").textContent = name;
  element.querySelector("progress").setAttribute("aria-label", `Progress of ${name}`);
  for (const button of element.querySelectorAll("button")) {
    button.setAttribute("aria-label", `${button.textContent} ${name}`);
  }
  return element;
}

function show(element, ratio, details) {
  element.querySelector("progress").value = ratio;
  element.querySelector(".detail").textContent = details.filter(Boolean).join(" · ");
}

// The row of an upload of this page.
function own(upload) {
  if (!upload.row) {
    upload.row = row(upload.path);
    upload.row.addEventListener("click", (event) => act(upload, event.target.dataset.action));
  }
  const { state, size, ratio, rate } = upload;
  const left = rate ? (size * (1 - ratio)) / rate : 0;
  const skipped = upload.storedBytes - upload.sentBytes;
  const already = skipped > 0 ? `${bytes(skipped)} already on the server` : "";
  const sent = `${bytes(size * ratio)} of ${bytes(size)}`;
  upload.row.classList.toggle("failed", state === "failed");
  for (const button of upload.row.querySelectorAll("button")) {
    button.hidden = !ACTIONS[state].includes(button.dataset.action);
  }
  show(upload.row, ratio, {
    waiting: ["Waiting", bytes(size)],
    sending: [percent(ratio), sent, already, rate >= 1 && `${bytes(rate)}/s`, left >= 1 && `${duration(left)} left`],
    paused: ["Paused", sent],
    failed: [upload.reason],
    done: [bytes(size), already],
  }[state]);
  return upload.row;
}

function act(upload, action) {
  if (!action) return;
  if (action === "pause") upload.stop("paused");
  else if (action === "cancel") upload.stop("cancelled");
  else upload.resume();
  draw();
  // The button that was pressed is hidden now, and has lost the focus.
  (upload.row.isConnected ? upload.row.querySelector("button:not([hidden])") : find("files")).focus();
}

find("cancel-all").addEventListener("click", () => {
  for (const upload of queue.uploads) {
    if (upload.state !== "done") upload.stop("cancelled");
  }
  draw();
  find("files").focus();
});

// Make these the elements of the list, in this order. Those that stay are not touched: one may have the focus.
function arrange(list, elements) {
  const wanted = new Set(elements);
  for (const element of [...list.children]) {
    if (!wanted.has(element)) element.remove();
  }
  elements.forEach((element, place) => {
    if (list.children[place] !== element) list.insertBefore(element, list.children[place] || null);
  });
}

function draw() {
  queue.forget((upload) => upload.state === "cancelled");
  const open = queue.uploads.filter((upload) => upload.state !== "done");
  const done = queue.uploads.filter((upload) => upload.state === "done");
  const more = open.length - MOST_ROWS;
  arrange(find("mine-open"), open.slice(0, MOST_ROWS).map(own));
  arrange(find("mine-done"), done.slice(-MOST_ROWS).map(own));
  find("more").textContent = more > 0 ? `and ${quantity(more, "more file")} from this page` : "";
  find("cancel-all").hidden = open.length < 2;
  find("open-empty").hidden = !queue.ready || open.length > 0 || find("open").children.length > 0;
  find("done-empty").hidden = !queue.ready || done.length > 0 || find("done").children.length > 0;
}

let drawing = false;

function changed() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
}

setInterval(() => {
  if (queue.uploads.length) changed();
}, 500);


// ---- The list of the server ------------------------------------------------------------------------------------------

const rows = new Map(); // by state, name and size of an upload: its element and its speed
let listing = false;
let timer = 0;

async function list() {
  if (listing) return;
  listing = true;
  clearTimeout(timer);
  const began = performance.now();
  const answer = await ask("GET", "uploads", queue.token);
  listing = false;
  if (answer.status === 401) return queue.refused();
  const told = answer.status === 200 && parsed(answer.text);
  if (told) {
    Object.assign(queue.names, told.parameters); // they may have other names than those of resumable.js
    queue.ready = true;
    present(told.uploads, (Date.parse(answer.header("Date")) || Date.now()) / 1000);
    if (!queue.troubled) trouble("");
    queue.work();
  } else if (!queue.troubled) {
    trouble(answer.sentence);
  }
  // Ask a server less often if it takes long to answer.
  const pause = queue.open || find("open").children.length ? 1000 : 3000;
  if (!document.hidden) timer = setTimeout(list, Math.max(pause, 10 * (performance.now() - began)));
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // a proxy may answer with a page of its own
  }
}

function present(found, now) {
  const same = (mine, other) => mine.path === other.path && mine.size === other.total_size;
  const done = found.filter((other) => other.state === "done");
  // Uploads of this page have a row with more details, which goes when the server lists the file as done.
  queue.forget((mine) => mine.state === "done" && done.some((other) => same(mine, other)));
  const elements = { open: [], done: [] };
  const before = new Map(rows);
  rows.clear();
  for (const upload of found) {
    if (upload.state === "open" && queue.uploads.some((mine) => same(mine, upload))) continue;
    let key = JSON.stringify([upload.state, upload.name, upload.total_size]);
    while (rows.has(key)) key += "+";
    rows.set(key, before.get(key) || { element: row(upload.name), speed: new SpeedMeter() });
    const { element, speed } = rows.get(key);
    describe(element, upload, speed.measure(upload.stored_bytes), now - upload.touched);
    elements[upload.state].push(element);
  }
  arrange(find("open"), elements.open);
  arrange(find("done"), elements.done);
  draw();
}

function describe(element, upload, rate, age) {
  const { state, total_size: size, stored_bytes: stored } = upload;
  element.querySelector(".actions")?.remove();
  if (state === "done") {
    element.querySelector("progress")?.remove();
    element.querySelector(".detail").textContent = `${bytes(size)} · ${ago(age)}`;
    return;
  }
  const ratio = size ? stored / size : 0;
  const last = rate >= 1 && age < 10 ? `${bytes(rate)}/s` : `last chunk ${ago(age)}`;
  show(element, ratio, [percent(ratio), `${bytes(stored)} of ${bytes(size)}`, last]);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) list();
});
addEventListener("online", () => queue.goOn());
addEventListener("beforeunload", (event) => {
  if (queue.open) event.preventDefault();
});
list();
