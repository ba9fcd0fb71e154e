// Format numbers for people.

export function bytes(count) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let power = 0;
  while (count >= 1024 && power < units.length - 1) {
    count /= 1024;
    power += 1;
  }
  if (!power) return quantity(Math.round(count), "byte");
  return `${count.toFixed(count < 100 ? 1 : 0)} ${units[power]}`;
}

// Two different sizes in words that differ.
export function apart(one, other) {
  return bytes(one) === bytes(other) ? [quantity(one, "byte"), quantity(other, "byte")] : [bytes(one), bytes(other)];
}

export function percent(ratio) {
  return `${Math.floor(100 * ratio)} %`;
}

export function duration(seconds) {
  const units = [["day", 86400], ["hour", 3600], ["minute", 60]];
  const [unit, length] = units.find((pair) => seconds >= pair[1]) || ["second", 1];
  return quantity(Math.round(seconds / length), unit);
}

export function ago(seconds) {
  return seconds < 5 ? "just now" : `${duration(seconds)} ago`;
}

export function quantity(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

// How fast a number grows per second, smoothed over some seconds.
export class SpeedMeter {
  #rate = 0;
  #last = null;
  #time = 0;

  measure(number) {
    const now = performance.now() / 1000;
    const passed = now - this.#time;
    if (this.#last !== null && passed < 0.4) return this.#rate;
    if (this.#last !== null) {
      const weight = this.#rate ? 1 - Math.exp(-passed / 3) : 1;
      this.#rate += weight * (Math.max(number - this.#last, 0) / passed - this.#rate);
    }
    this.#last = number;
    this.#time = now;
    return this.#rate;
  }
}
