// What the recorded sources use of a browser, and the handles behind which there are Python objects.
(function () {
  "use strict";
  const NUMBER = Symbol("handle");
  const METHODS = new Set(
    ("on off fire upload pause resume cancel progress isUploading addFile addFiles removeFile getFromUniqueIdentifier " +
      "getSize updateQuery uploadNextChunk abort retry bootstrap isComplete isPaused markChunksCompleted status send " +
      "test preprocessFinished sizeUploaded timeRemaining getExtension getType").split(" ")
  );
  const started = [];
  const timers = [];
  let clock = 0;
  globalThis.__given = [];
  globalThis.window = globalThis;
  globalThis.self = globalThis;

  function ask() {
    const answer = JSON.parse(__python(JSON.stringify(Array.from(arguments))));
    if ("error" in answer) throw new Error(answer.error);
    return unpack(answer.value);
  }

  globalThis.H = { T: { push: function (line) { ask("line", line); return 0; } } };
  globalThis.console = { log: function () {}, warn: function () {}, error: function () {} };
  globalThis.setTimeout = function (callback, delay) {
    timers.push({ at: clock + Number(delay || 0), id: timers.length, callback: callback, args: Array.from(arguments).slice(2) });
    return timers.length - 1;
  };
  globalThis.clearTimeout = function (id) { if (timers[id]) timers[id].callback = null; };

  // The timer that is due first is run; time passes only so.
  globalThis.__timer = function () {
    const waiting = timers.filter(function (timer) { return timer.callback; });
    if (!waiting.length) return false;
    const first = waiting.reduce(function (a, b) { return b.at < a.at ? b : a; });
    const callback = first.callback;
    clock = Math.max(clock, first.at);
    first.callback = null;
    callback.apply(undefined, first.args);
    return true;
  };

  function octets(part) {
    if (part instanceof Blob) return part.__octets;
    if (part instanceof ArrayBuffer) return Array.from(new Uint8Array(part));
    if (ArrayBuffer.isView(part)) return Array.from(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
    const text = unescape(encodeURIComponent(String(part)));
    return Array.from(text, function (letter) { return letter.charCodeAt(0); });
  }

  class Blob {
    constructor(parts, settings) {
      this.__octets = [].concat.apply([], (parts || []).map(octets));
      this.size = this.__octets.length;
      this.type = (settings && settings.type) || "";
    }
  }
  class File extends Blob {
    constructor(parts, name, settings) {
      super(parts, settings);
      this.name = name;
    }
  }
  globalThis.Blob = Blob;
  globalThis.File = File;

  const own = new Map(); // what JavaScript has set on the objects behind handles

  function handle(number) {
    if (!own.has(number)) own.set(number, {});
    return new Proxy(function () {}, {
      set: function (_, name, value) {
        own.get(number)[name] = value;
        return true;
      },
      get: function (_, name) {
        if (name === NUMBER) return number;
        if (typeof name === "symbol" || name === "then" || name === "toJSON") return undefined;
        if (name in own.get(number)) return own.get(number)[name];
        if (!METHODS.has(name)) return ask("read", number, name);
        return function () { return ask("call", number, name, Array.from(arguments).map(pack)); };
      },
    });
  }

  function unpack(value) {
    if (value === null || typeof value !== "object") return value;
    if (Array.isArray(value)) return value.map(unpack);
    if ("$undefined" in value) return undefined;
    if ("$handle" in value) return handle(value.$handle);
    if ("$file" in value) {
      const file = Object.assign(Object.create(File.prototype), value.$file);
      if (value.path !== null) file.relativePath = value.path;
      return file;
    }
    return Object.fromEntries(Object.entries(value).map(function (pair) { return [pair[0], unpack(pair[1])]; }));
  }

  function pack(value) {
    if (value === undefined) return { $undefined: true };
    if (value === null || typeof value === "boolean" || typeof value === "number" || typeof value === "string") return value;
    if (value[NUMBER] !== undefined) return { $handle: value[NUMBER] };
    if (typeof value === "function") return { $function: __given.push(value) - 1 };
    if (Array.isArray(value)) return value.map(pack);
    if (value instanceof File) {
      const facts = { name: value.name, size: value.size, type: value.type };
      return { $file: facts, path: value.relativePath === undefined ? null : value.relativePath, bytes: value.__octets || [] };
    }
    return Object.fromEntries(Object.entries(value).map(function (pair) { return [pair[0], pack(pair[1])]; }));
  }

  globalThis.__start = function (packed) {
    const facts = JSON.parse(packed);
    const outcome = { pending: true };
    started.push(outcome);
    function thrown(error) { delete outcome.pending; outcome.thrown = String(error); }
    function settled(value) {
      delete outcome.pending;
      try { outcome.value = pack(value); } catch (error) { thrown(error); }
    }
    try {
      const value = (0, eval)(facts[0]).apply(unpack(facts[1]), facts[2].map(unpack));
      if (value && typeof value === "object" && typeof value.then === "function") value.then(settled, thrown);
      else settled(value);
    } catch (error) { thrown(error); }
    return started.length - 1;
  };
  globalThis.__outcome = function (number) { return JSON.stringify(started[number]); };
})();
