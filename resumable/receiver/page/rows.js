// The rows of the lists: one for each file, and one for each folder that has more than one file in the list.
//
// What is shown is an item {path, size, ratio, state, rate}; an item of this page is an Upload, one of another client is
// made from what the server says. A row shows it and keeps its element, so that the focus and open folders stay.

import { bytes, duration, percent, quantity } from "./words.js";

export const MOST_ROWS = 100;
const ACTIONS = {
  waiting: ["pause", "cancel"],
  sending: ["pause", "cancel"],
  paused: ["resume", "cancel"],
  failed: ["retry", "cancel"],
};

// How much of these items has arrived, and how fast it comes. What has failed is not waited for.
export function progress(all, quiet) {
  const items = all.length > 1 ? all.filter((item) => item.state !== "failed") : all;
  const size = items.reduce((sum, item) => sum + item.size, 0);
  const arrived = items.reduce((sum, item) => sum + item.size * item.ratio, 0);
  const rate = quiet ? 0 : items.reduce((sum, item) => sum + (item.state === "sending" ? item.rate : 0), 0);
  const ratio = size ? arrived / size : 0;
  const left = rate ? (size - arrived) / rate : 0;
  return {
    ratio,
    words: [
      percent(ratio),
      `${bytes(arrived)} of ${bytes(size)}`,
      rate >= 1 && `${bytes(rate)}/s`,
      left >= 1 && `${duration(left)} left`,
    ],
  };
}

function actionsOf(item) {
  if (item.state === "failed" && item.hopeless) return ["cancel"];
  return ACTIONS[item.state] || [];
}

export class Row {
  // act(action) is called when one of its buttons is pressed.
  constructor(name, act = null) {
    this.element = document.getElementById("row").content.firstElementChild.cloneNode(true);
    this.find(".name").textContent = name;
    this.find("progress").setAttribute("aria-label", `Progress of ${name}`);
    this.name = name;
    this.act = act;
    if (act === null) this.find(".actions").remove();
    else this.find(".actions").addEventListener("click", (event) => this.press(event.target.dataset.action));
    this.find(".files").remove();
  }

  find(selector) { return this.element.querySelector(selector); }

  press(action) {
    if (!action) return;
    this.act(action);
    // The button that was pressed may be hidden now, and has lost the focus then.
    const buttons = this.element.isConnected ? ".actions button:not([hidden])" : null;
    ((buttons && this.find(buttons)) || document.getElementById("files")).focus();
  }

  // The ratio is null for what is done.
  show(ratio, details, { actions = [], failed = false } = {}) {
    if (ratio === null) this.find("progress")?.remove();
    else this.find("progress").value = ratio;
    this.find(".detail").textContent = details.filter(Boolean).join(" · ");
    this.element.classList.toggle("failed", failed);
    if (this.act === null) return;
    for (const button of this.element.querySelectorAll(":scope > .actions button")) {
      const { action } = button.dataset;
      button.hidden = !actions.includes(action);
      // What has failed is not under way any more, and can only be taken from the list.
      if (action === "cancel") button.textContent = actions.length === 1 ? "Remove" : "Cancel";
      button.setAttribute("aria-label", `${button.textContent} ${this.name}`);
    }
  }

  // Make the name a link to where the application has put the file.
  link(url) {
    const name = this.find(".name");
    const address = url && URL.canParse(url, location) && new URL(url, location);
    if (!address || !["http:", "https:"].includes(address.protocol) || name.tagName === "A") return;
    const link = document.createElement("a");
    Object.assign(link, { className: "name", href: address.href, textContent: name.textContent, rel: "noopener" });
    name.replaceWith(link);
  }
}

// The row of an upload of this page. Quiet says that the server is away, so that nothing moves.
export class OwnRow extends Row {
  constructor(upload, act) {
    super(upload.path, (action) => act([upload], action));
  }

  update(upload, quiet) {
    const { state, size, ratio } = upload;
    const moved = state === "sending" ? progress([upload], quiet).words : [];
    const [share, sent = `${bytes(size * ratio)} of ${bytes(size)}`, ...pace] = moved;
    const already = upload.skipped > 0 ? `${bytes(upload.skipped)} already on the server` : "";
    const details = {
      waiting: ["Waiting", bytes(size)],
      sending: [share, sent, already, ...pace],
      paused: ["Paused", sent],
      failed: [upload.reason],
      done: [bytes(size), upload.unsent ? "was already there" : already],
    }[state];
    this.show(state === "done" ? null : ratio, details, { actions: actionsOf(upload), failed: state === "failed" });
  }
}

// A folder: what becomes of all its files, and the rows of the files if somebody opens it.
export class FolderRow extends Row {
  constructor(folder, act) {
    super(`${folder}/`, act && ((action) => act(this.items.filter((item) => actionsOf(item).includes(action)), action)));
    this.files = document.getElementById("row").content.querySelector(".files").cloneNode(true);
    this.element.append(this.files);
    this.files.addEventListener("toggle", () => this.list());
  }

  update(items, details, ratio, rowOf) {
    this.items = items;
    this.rowOf = rowOf;
    const failed = items.filter((item) => item.state === "failed");
    if (failed.length) details.push(`${failed.length} failed: ${failed[0].reason}`);
    const actions = [...new Set(items.flatMap(actionsOf))];
    this.show(ratio, details, { actions, failed: failed.length > 0 });
    this.files.querySelector("summary").textContent = `Show ${quantity(items.length, "file")}`;
    this.list();
  }

  list() {
    if (!this.files.open) return arrange(this.files.querySelector("ul"), []);
    // What has failed comes first, and what is done last.
    const order = ["failed", "sending", "paused", "waiting", "open", "done"];
    const sorted = [...this.items].sort((one, other) => order.indexOf(one.state) - order.indexOf(other.state));
    arrange(this.files.querySelector("ul"), sorted.slice(0, MOST_ROWS).map(this.rowOf).map((row) => row.element));
    const more = sorted.length - MOST_ROWS;
    this.files.querySelector("p").textContent = more > 0 ? `and ${quantity(more, "more file")}` : "";
  }
}

// Return [folder, items] for each folder, and ["", [item]] for each file that is in none or alone in its own.
export function grouped(items) {
  const folders = new Map();
  for (const item of items) {
    const [folder, inside] = item.path.split("/", 2);
    const key = inside === undefined ? item : folder;
    if (folders.has(key)) folders.get(key).push(item);
    else folders.set(key, [item]);
  }
  return [...folders].map(([key, inside]) => [inside.length > 1 ? key : "", inside]);
}

// Make these the elements of the list, in this order. Those that stay are not touched: one may have the focus.
export function arrange(list, elements) {
  const wanted = new Set(elements);
  for (const element of [...list.children]) {
    if (!wanted.has(element)) element.remove();
  }
  elements.forEach((element, place) => {
    if (list.children[place] !== element) list.insertBefore(element, list.children[place] || null);
  });
}
