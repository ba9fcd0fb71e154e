// The page of a receiver: a live list of uploads, and a place to drop files on.

import { ask, Queue } from "./queue.js";
import { FolderRow, MOST_ROWS, OwnRow, Row, arrange, grouped, progress } from "./rows.js";
import { SpeedMeter, ago, bytes, percent, quantity } from "./words.js";

const MOST_NEWS = 3; // files whose ends are told of one by one
const TOKEN = `resumable-token ${location.pathname}`;

const find = (id) => document.getElementById(id);
const queue = new Queue({ announce, changed, refused, stored, trouble });
queue.token = sessionStorage.getItem(TOKEN) || "";


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
  if (!files.length) return;
  const added = queue.add(files);
  const known = files.length - added.length;
  const size = added.reduce((sum, upload) => sum + upload.size, 0);
  announce([
    added.length && `${quantity(added.length, "file")} added (${bytes(size)}).`,
    known && `${quantity(known, "file")} ${known === 1 ? "was" : "were"} in the list already.`,
  ].filter(Boolean).join(" "));
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
  sessionStorage.removeItem(TOKEN);
  find("forget").hidden = true;
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

find("forget").addEventListener("click", () => {
  sessionStorage.removeItem(TOKEN);
  location.reload();
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
  const { uploads } = queue;
  if (uploads.length <= MOST_NEWS) {
    announce(upload.unsent ? `${upload.path} was already there, whole.` : `${upload.path} was uploaded.`);
  } else if (!queue.open) {
    const done = uploads.filter((each) => each.state === "done");
    const unsent = done.filter((each) => each.unsent).length;
    const already = unsent ? ` ${unsent} of them ${unsent === 1 ? "was" : "were"} already there.` : "";
    announce(`${quantity(done.length, "file")} uploaded.${already}`);
  }
  list();
}


// ---- The lists -------------------------------------------------------------------------------------------------------

const folders = new Map(); // the rows of the folders, by list and name
const others = new Map(); // uploads of others by state, name and size, each with its row and its speed
const listed = { open: [], done: [] }; // what the server said last
let away = false; // the server did not answer

function act(uploads, action) {
  for (const upload of uploads) {
    if (action === "pause") upload.stop("paused");
    else if (action === "cancel") upload.stop("cancelled");
    else upload.resume();
  }
  draw();
}

find("cancel-all").addEventListener("click", () => {
  act(queue.uploads.filter((upload) => upload.state !== "done"), "cancel");
  find("files").focus();
});

function ownRow(upload) {
  upload.row ||= new OwnRow(upload, act);
  upload.row.update(upload, queue.troubled);
  return upload.row;
}

// An upload of this page has a row of its own until the server lists the file as done.
function rowOf(item) {
  return item.other ? item.row : ownRow(item);
}

function folderRow(section, folder, items) {
  const key = JSON.stringify([section, folder]);
  if (!folders.has(key)) folders.set(key, new FolderRow(folder, section === "mine-open" ? act : null));
  const row = folders.get(key);
  const size = items.reduce((sum, item) => sum + item.size, 0);
  if (section === "done") {
    row.update(items, [quantity(items.length, "file"), bytes(size)], null, rowOf);
  } else {
    const { ratio, words } = progress(items, queue.troubled || away);
    const done = items.filter((item) => item.state === "done").length;
    row.update(items, [`${done} of ${quantity(items.length, "file")}`, ...words], ratio, rowOf);
  }
  return row;
}

// Show the groups in a list, and return how many files there was no room for.
function fill(section, groups) {
  const rows = groups.slice(0, MOST_ROWS).map(([folder, items]) => (
    folder ? folderRow(section, folder, items) : rowOf(items[0])
  ));
  arrange(find(section), rows.map((row) => row.element));
  return groups.slice(MOST_ROWS).reduce((sum, [, items]) => sum + items.length, 0);
}

function draw() {
  queue.forget((upload) => upload.state === "cancelled");
  const { uploads } = queue;
  const isPending = (upload) => upload.state !== "done";
  const groups = grouped(uploads);
  const more = fill("mine-open", groups.filter(([, items]) => items.some(isPending)));
  find("more").textContent = more > 0 ? `and ${quantity(more, "more file")} from this page` : "";
  fill("open", grouped(listed.open));
  const done = groups.filter(([, items]) => !items.some(isPending)).flatMap(([, items]) => items);
  fill("done", grouped([...done.filter((upload) => !upload.isListed), ...listed.done]));
  find("cancel-all").hidden = uploads.filter(isPending).length < 2;
  find("open-empty").hidden = !queue.ready || uploads.some(isPending) || listed.open.length > 0;
  find("done-empty").hidden = !queue.ready || find("done").children.length > 0;
  total(uploads);
}

function total(uploads) {
  find("total").hidden = uploads.length < 2;
  if (uploads.length < 2) return;
  const { ratio, words } = progress(uploads, queue.troubled);
  const done = uploads.filter((upload) => upload.state === "done").length;
  const failed = uploads.filter((upload) => upload.state === "failed").length;
  const share = done === uploads.length ? 1 : ratio;
  find("total").querySelector("progress").value = share;
  find("total-detail").textContent = [
    `${done} of ${quantity(uploads.length, "file")}`,
    ...(share === 1 ? [percent(1), words[1]] : words),
    failed && `${failed} failed`,
  ].filter(Boolean).join(" · ");
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
  if (queue.open) changed();
}, 500);


// ---- What the server says --------------------------------------------------------------------------------------------

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
  away = !told;
  if (told) {
    if (queue.token) sessionStorage.setItem(TOKEN, queue.token);
    find("forget").hidden = !queue.token;
    Object.assign(queue.names, told.parameters); // they may have other names than those of resumable.js
    limit(told.limits.total_size);
    queue.ready = true;
    present(told.uploads, (Date.parse(answer.header("Date")) || Date.now()) / 1000);
    if (!queue.troubled) trouble("");
    queue.work();
  } else {
    for (const { show } of others.values()) show();
    if (!queue.troubled) trouble(answer.sentence);
  }
  // Ask a server less often if it takes long to answer.
  const pause = queue.open || listed.open.length ? 1000 : 3000;
  if (!document.hidden) timer = setTimeout(list, Math.max(pause, 10 * (performance.now() - began)));
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // a proxy may answer with a page of its own
  }
}

function limit(size) {
  queue.limit(size ?? Infinity);
  find("limits").textContent = size === null ? "" : `A file may have ${bytes(size)} at most.`;
}

function present(found, now) {
  const own = new Map(queue.uploads.map((upload) => [JSON.stringify([upload.path, upload.size]), upload]));
  const before = new Map(others);
  others.clear();
  Object.assign(listed, { open: [], done: [] });
  for (const told of found) {
    const mine = own.get(JSON.stringify([told.path, told.total_size]));
    if (told.state === "done" && mine?.state === "done") mine.isListed = true;
    else if (told.state === "open" && mine) continue;
    let key = JSON.stringify([told.state, told.name, told.total_size]);
    while (others.has(key)) key += "+";
    const other = before.get(key) || { other: true, row: new Row(told.name), speed: new SpeedMeter() };
    others.set(key, other);
    describe(other, told, now);
    listed[told.state].push(other);
  }
  draw();
}

function describe(other, told, now) {
  const age = now - told.touched;
  const { total_size: size, stored_bytes: stored } = told;
  const rate = other.speed.measure(stored);
  Object.assign(other, { path: told.name, size, ratio: size ? stored / size : 0, rate });
  other.state = told.state === "done" ? "done" : rate >= 1 && age < 10 ? "sending" : "open";
  other.show = () => {
    if (other.state === "done") return other.row.show(null, [bytes(size), ago(age)]);
    const { ratio, words } = progress([other], away);
    other.row.show(ratio, other.state === "sending" ? words : [...words, !away && `last chunk ${ago(age)}`]);
  };
  other.show();
  other.row.link(told.url);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) list();
});
addEventListener("online", () => queue.goOn());
addEventListener("beforeunload", (event) => {
  if (queue.open) event.preventDefault();
});
list();
