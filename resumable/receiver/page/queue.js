// Send files to the receiver with the protocol of resumable.js: the chunk as the body of a POST, the parameters in the
// query, three requests at a time. One test for each file finds out what the server already has.

import { SpeedMeter, apart, quantity } from "./words.js";

const CHUNK_SIZE = 1024 * 1024;
const MOST_CHUNKS = 10000;
const PARALLEL = 3;
const LONGEST_REST = 30; // seconds
const PERMANENT = new Set([400, 403, 404, 405, 409, 410, 411, 413, 415, 422, 500, 501]);
// What no later attempt with the same file can change, unlike rights, names and room on the server.
const HOPELESS = new Set([400, 405, 411, 415, 422]);
const PENDING = 0, SENDING = 1, STORED = 2;

// Send a request. Resolves to {status, text, sentence, header(name)}; the status is 0 if there is no answer.
export function ask(method, url, token, { body = null, begun = () => {}, progress = () => {} } = {}) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    // A minute, and the time that the body takes at 10 KiB a second.
    request.timeout = 60000 + (body ? body.size / 10.24 : 0);
    if (token) request.setRequestHeader("Authorization", `Bearer ${token}`);
    if (body) request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => progress(event.loaded);
    request.onloadend = () => resolve({
      status: request.status,
      text: request.responseText,
      sentence: sentence(request),
      header: (name) => request.getResponseHeader(name),
    });
    request.send(body);
    begun(request);
  });
}

function sentence(request) {
  if (!request.status) return "The server cannot be reached.";
  // A proxy may answer with a page of its own.
  const plain = (request.getResponseHeader("Content-Type") || "").startsWith("text/plain");
  const said = plain ? request.responseText.trim().slice(0, 500) : "";
  return said || `The server answered ${request.status} ${request.statusText}`.trim() + ".";
}

// Whether a file is refused for what it is, and not because the server has no room now.
function tooLarge(answer) {
  return answer.status === 413 && ["file", "chunks", "request"].includes(answer.header("Resumable-Limit"));
}

async function readable(blob) {
  try {
    await blob.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

// One file. Its state is waiting, sending, paused, failed, done or cancelled; the first two are open.
class Upload {
  constructor(queue, file, path) {
    this.queue = queue;
    this.file = file;
    this.path = path;
    this.size = file.size;
    // A file must be cut in the same way every time, or its upload cannot be continued.
    this.chunkSize = CHUNK_SIZE;
    while (this.size > this.chunkSize * MOST_CHUNKS) this.chunkSize *= 2;
    this.chunks = new Uint8Array(Math.max(Math.ceil(this.size / this.chunkSize), 1));
    this.identifier = `${this.size}-${file.lastModified}-${path}`;
    this.state = "waiting";
    this.reason = "";
    this.hopeless = false; // it has failed, and would fail again
    this.refusals = 0;
    this.tested = PENDING;
    this.listed = false;
    this.published = false;
    this.next = 0;
    this.storedChunks = 0;
    this.storedBytes = 0;
    this.sentBytes = 0;
    this.posted = 0; // chunks that this page has sent
    this.requests = new Map(); // the running requests, and how many bytes of each have been sent
    this.speed = new SpeedMeter();
  }

  get whole() { return this.storedChunks === this.chunks.length; }
  get open() { return this.state === "waiting" || this.state === "sending"; }
  get skipped() { return this.storedBytes - this.sentBytes; }
  get unsent() { return this.posted === 0; }
  get onTheWay() { return [...this.requests.values()].reduce((sum, loaded) => sum + loaded, 0); }
  get rate() { return this.speed.measure(this.sentBytes + this.onTheWay); }

  // Bytes in transit count, but as in resumable.js nothing looks complete before the server says so.
  get ratio() {
    if (this.state === "done") return 1;
    return this.size ? Math.min((this.storedBytes + 0.95 * this.onTheWay) / this.size, 0.99) : 0;
  }

  span(index) {
    return [index * this.chunkSize, Math.min((index + 1) * this.chunkSize, this.size)];
  }

  url(index) {
    const [start, end] = this.span(index);
    const facts = {
      chunk_number: index + 1,
      chunk_size: this.chunkSize,
      current_chunk_size: end - start,
      total_size: this.size,
      type: this.file.type,
      identifier: this.identifier,
      file_name: this.file.name,
      relative_path: this.path,
      total_chunks: this.chunks.length,
    };
    const { names } = this.queue;
    const named = Object.entries(facts).filter(([fact]) => names[fact]).map(([fact, value]) => [names[fact], value]);
    return `?${new URLSearchParams(named)}`;
  }

  // Return the next task as a function; null during the first test, and if nothing is left to start.
  take() {
    if (!this.open || this.tested === SENDING) return null;
    this.state = "sending";
    if (this.tested === PENDING) {
      this.tested = SENDING;
      return () => this.test(0);
    }
    while (this.next < this.chunks.length && this.chunks[this.next] !== PENDING) this.next += 1;
    if (this.next === this.chunks.length) return null;
    const index = this.next;
    this.chunks[index] = SENDING;
    return () => this.deliver(index);
  }

  // Ask the server for its chunks, and resolve to whether it answered. A long list may be missing in the answer.
  async test(index) {
    const answer = await this.exchange("GET", index);
    if (!answer) {
      if (this.tested === SENDING) this.tested = PENDING;
      return false;
    }
    const list = answer.header("Resumable-Stored-Chunks");
    for (const range of (list || "").split(",").filter(Boolean)) {
      const [first, last = first] = range.split("-").map(Number);
      for (let place = first - 1; place < Math.min(last, this.chunks.length); place += 1) this.keep(place);
    }
    if (answer.status === 200) this.keep(index);
    this.listed = list !== null;
    this.tested = STORED;
    if (this.whole) this.finish();
    return true;
  }

  async deliver(index) {
    const tested = this.listed || (await this.test(index));
    if (tested && this.open && this.chunks[index] === SENDING) {
      const body = this.file.slice(...this.span(index), "application/octet-stream");
      const answer = await this.exchange("POST", index, body);
      if (answer) {
        this.sentBytes += body.size;
        this.posted += 1;
        this.published ||= answer.status === 201;
        this.keep(index);
      }
    }
    if (this.chunks[index] === SENDING) {
      this.chunks[index] = PENDING;
      this.next = Math.min(this.next, index);
    } else if (this.whole && this.open) {
      // If nothing was published, the server has lost chunks, or another client has finished the file: ask it.
      if (this.published) this.finish();
      else this.resume();
    }
  }

  // Send a request. Resolves to the answer if it is final, or to null if the request has to be repeated or has failed.
  async exchange(method, index, body = null) {
    let running;
    const answer = await ask(method, this.url(index), this.queue.token, {
      body,
      begun: (request) => {
        running = request;
        this.requests.set(request, 0);
      },
      progress: (loaded) => this.requests.set(running, Math.min(loaded, body ? body.size : 0)),
    });
    this.requests.delete(running);
    if (!this.open) return null;
    if ((body ? [200, 201] : [200, 204]).includes(answer.status)) {
      if (body) this.refusals = 0;
      this.queue.recovered();
      return answer;
    }
    if (answer.status === 401) this.queue.refused();
    else if (PERMANENT.has(answer.status)) this.fail(answer.sentence, HOPELESS.has(answer.status) || tooLarge(answer));
    else if (answer.status || !body || (await readable(body))) {
      if (answer.status) this.refusals += 1;
      this.queue.rest(answer);
    }
    else this.fail("The file has changed or cannot be read: add it again.", true);
    return null;
  }

  keep(index) {
    if (!(index in this.chunks) || this.chunks[index] === STORED) return;
    const [start, end] = this.span(index);
    this.chunks[index] = STORED;
    this.storedChunks += 1;
    this.storedBytes += end - start;
  }

  finish() {
    this.stop("done");
    this.queue.hooks.stored(this);
  }

  stop(state) {
    this.state = state;
    for (const request of this.requests.keys()) request.abort();
    this.queue.hooks.changed();
  }

  // Fail if the server takes no file of this size.
  check() {
    if (this.size <= this.queue.largest) return;
    const [size, most] = apart(this.size, this.queue.largest);
    this.fail(`The file has ${size}, and this server takes at most ${most}.`, true);
  }

  fail(reason, hopeless) {
    if (!this.open) return;
    this.reason = reason;
    this.hopeless = hopeless;
    this.stop("failed");
    this.queue.hooks.announce(`${this.path} failed: ${reason}`);
  }

  // Ask the server again what it has.
  resume() {
    this.state = "waiting";
    this.reason = "";
    this.tested = PENDING;
    this.chunks.fill(PENDING);
    this.next = this.storedChunks = this.storedBytes = 0;
    this.queue.hooks.changed();
    this.queue.work();
  }
}

// All files of this page. The hooks are changed(), stored(upload), announce(sentence), trouble(sentence), and refused()
// if the token is refused; after that nothing is sent until ready is set again.
export class Queue {
  uploads = [];
  token = "";
  ready = false;
  largest = Infinity; // the most bytes that a file may have
  names = {
    chunk_number: "resumableChunkNumber",
    chunk_size: "resumableChunkSize",
    current_chunk_size: "resumableCurrentChunkSize",
    total_size: "resumableTotalSize",
    type: "resumableType",
    identifier: "resumableIdentifier",
    file_name: "resumableFilename",
    relative_path: "resumableRelativePath",
    total_chunks: "resumableTotalChunks",
  };
  #running = 0;
  #attempts = 0;
  #timer = 0;

  constructor(hooks) {
    this.hooks = hooks;
  }

  get open() { return this.uploads.some((upload) => upload.open); }
  get troubled() { return Boolean(this.#timer || (this.#attempts && this.open)); }

  // Add [file, path] pairs, and return the new uploads. A file that was added before is resumed if it was stopped. If all
  // that was added before is done, that is the end of its list.
  add(files) {
    if (this.uploads.every((upload) => upload.state === "done")) this.forget((upload) => upload.isListed);
    const added = [];
    const uploads = new Map(this.uploads.map((upload) => [upload.identifier, upload]));
    for (const [file, path] of files) {
      const upload = new Upload(this, file, path);
      const before = uploads.get(upload.identifier);
      if (!before || before.state === "done") {
        uploads.delete(upload.identifier);
        uploads.set(upload.identifier, upload);
        upload.check();
        added.push(upload);
      } else if (!before.open) {
        before.resume();
      }
    }
    this.uploads = [...uploads.values()];
    this.hooks.changed();
    this.work();
    return added;
  }

  // No file may have more bytes than this.
  limit(largest) {
    this.largest = largest;
    for (const upload of this.uploads) upload.check();
  }

  // Remove the uploads for which the condition is true.
  forget(condition) {
    this.uploads = this.uploads.filter((upload) => !condition(upload));
  }

  work() {
    if (!this.ready || this.#timer) return;
    // An upload that the server has no room for must not block the others.
    const turns = this.uploads.some((upload) => upload.refusals)
      ? [...this.uploads].sort((one, other) => one.refusals - other.refusals)
      : this.uploads;
    for (const upload of turns) {
      let task;
      while (this.#running < PARALLEL && (task = upload.take())) {
        this.#running += 1;
        task().finally(() => {
          this.#running -= 1;
          this.work();
        });
      }
      if (this.#running === PARALLEL) return;
    }
  }

  refused() {
    this.ready = false;
    this.hooks.refused();
  }

  // Wait before sending anything new: longer every time, at least as long as the server asks for, and with a random part,
  // so that not all browsers come back at once.
  rest(answer) {
    if (this.#timer) return;
    this.#attempts += 1;
    const asked = Math.min(Number(answer.header("Retry-After")) || 0, 3600);
    const chosen = Math.min(2 ** (this.#attempts - 1), LONGEST_REST) * (0.5 + Math.random() / 2);
    const until = Date.now() + 1000 * Math.max(asked, chosen);
    const tell = () => {
      const left = until - Date.now();
      if (left <= 0) return this.goOn();
      this.hooks.trouble(`${answer.sentence} Trying again in ${quantity(Math.ceil(left / 1000), "second")}.`);
      this.#timer = setTimeout(tell, Math.min(1000, left));
    };
    if (this.#attempts === 1) this.hooks.announce(answer.sentence);
    tell();
  }

  goOn() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.work();
  }

  recovered() {
    if (this.#attempts) this.hooks.announce("");
    this.#attempts = 0;
    if (!this.#timer) this.hooks.trouble("");
  }
}
