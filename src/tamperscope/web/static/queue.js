// Pictures on their way: as many at once as the service has workers, the one in sight first.

import { decodePicture, layersOf, LONGEST_SIDE } from "./layers.js";
import { assertReadable, localize } from "./api.js";

let ids = 0;

// Pixels decoded once for all who need them at the same time; the last to go closes the bitmap,
// even one that is still on its way.
class Pixels {
  #users = 0;
  #bitmap = null;

  constructor(source) { this.source = source; }

  // null: this browser cannot read the source.
  take() {
    this.#users += 1;
    this.#bitmap ??= decodePicture(this.source).then((bitmap) => {
      this.size = bitmap && { width: bitmap.width, height: bitmap.height };
      return bitmap;
    });
    return this.#bitmap;
  }

  giveBack() {
    this.#users -= 1;
    if (this.#users > 0) { return; }
    this.#bitmap.then((bitmap) => bitmap?.close());
    this.#bitmap = null;
  }
}

export class Item {
  constructor(file) {
    ids += 1;
    this.id = ids;
    this.file = file;
    this.name = file.name || `pasted picture ${ids}`;
    this.results = new Map(); // method -> {state, answer, error, controller, level, undrawable}
    this.given = new Pixels(file);
    this.sent = null; // as the service draws it, where that differs
    this.opened = null; // which of the two is in sight
    this.picture = undefined; // bitmap; null: this browser cannot read the file
    this.size = null;
  }

  result(method) {
    if (!this.results.has(method)) { this.results.set(method, { state: "none", level: null }); }
    return this.results.get(method);
  }

  // What is drawn: decoded when it is looked at, and let go when it is not.
  async open() {
    const answers = [...this.results.values()].flatMap(({ answer }) => answer ?? []);
    const sent = answers.find(({ picture }) => picture)?.picture;
    if (sent) { this.sent ??= new Pixels(sent); }
    const pixels = this.sent ?? this.given;
    if (this.opened !== pixels) {
      this.opened?.giveBack();
      this.opened = pixels;
      this.opening = pixels.take();
    }
    const { opening } = this;
    const picture = await opening;
    if (this.opening !== opening) { return; } // left or replaced meanwhile
    this.picture = picture;
    this.size = answers[0]?.size ?? pixels.size;
  }

  // Runs `use` on the bitmap of the file, which may be null.
  async peek(use) {
    try {
      use(await this.given.take());
    } finally {
      this.given.giveBack();
    }
  }

  // Size of the file in this browser; null: it cannot read it.
  async measure() {
    if (this.given.size === undefined) { await this.peek(() => {}); }
    return this.given.size;
  }

  async layers(method) {
    const result = this.result(method);
    if (!result.answer) { return null; }
    result.layers ??= layersOf(result.answer).then((layers) => {
      if (result.level !== null) { layers.setLevel(result.level); }
      return layers;
    });
    const { layers } = result;
    try {
      const drawn = await layers;
      result.undrawable = false;
      return drawn;
    } catch {
      if (result.layers === layers) { delete result.layers; } // the next look tries again
      result.undrawable = true;
      return null;
    }
  }

  close() {
    this.opened?.giveBack();
    this.opened = null;
    this.opening = null;
    this.picture = undefined;
    for (const result of this.results.values()) { delete result.layers; }
  }
}

// Whether the browser drew the file as the service did. A half turn or a mirror leaves the size as it
// was, and so does any turn of a square; not every browser undoes them in every format.
function fits(size, { size: { width, height }, orientation }) {
  const turned = orientation !== 1 && (orientation <= 4 || width === height);
  return size.width === width && size.height === height && !turned;
}

export class Queue {
  constructor({ onUpdate }) {
    this.parallel = 1;
    this.running = 0;
    this.waiting = [];
    this.pausedUntil = 0;
    this.onUpdate = onUpdate;
    this.first = () => null;
  }

  add(item, method) {
    const result = item.result(method);
    if (["waiting", "running", "done"].includes(result.state)) { return; }
    Object.assign(result, { state: "waiting", error: null });
    this.waiting.push({ item, method, result });
    this.onUpdate(item, method);
    this.#pump();
  }

  // Closing the connection tells the service to stop working on it.
  cancel(item, keep = () => false) {
    this.waiting = this.waiting.filter((job) => job.item !== item || keep(job.method));
    for (const [method, result] of item.results) {
      if (keep(method) || !["waiting", "running"].includes(result.state)) { continue; }
      result.controller?.abort();
      result.state = "none";
    }
  }

  #pump() {
    const pause = this.pausedUntil - Date.now();
    if (pause > 0) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.#pump(), pause);
      return;
    }
    while (this.running < this.parallel && this.waiting.length > 0) {
      const seen = this.waiting.findIndex((job) => job.item === this.first());
      const [job] = this.waiting.splice(Math.max(0, seen), 1);
      this.#run(job);
    }
  }

  async #run(job) {
    const { item, method, result } = job;
    this.running += 1;
    result.state = "running";
    const controller = new AbortController();
    result.controller = controller;
    try {
      this.onUpdate(item, method);
      const answer = await this.#ask(item, method, controller.signal);
      controller.signal.throwIfAborted();
      Object.assign(result, { answer, state: "done" });
    } catch (error) {
      if (!controller.signal.aborted) { this.#failed(job, error); }
    }
    this.running -= 1;
    // Whatever goes wrong with one picture, the next has its turn.
    try { this.onUpdate(item, method); } finally { this.#pump(); }
  }

  async #ask(item, method, signal) {
    const options = { method, signal, maxSide: LONGEST_SIDE };
    await assertReadable(item.file);
    const size = await item.measure();
    const answer = await localize(item.file, { ...options, picture: !size });
    // A browser that turns or cuts the picture otherwise must not misplace the mask.
    return !size || fits(size, answer) ? answer : localize(item.file, { ...options, picture: true });
  }

  #failed(job, error) {
    const { result } = job;
    if (error.code === "queue_full" || error.code === "shutting_down") {
      result.state = "waiting";
      this.pausedUntil = Date.now() + 1000 * (error.retryAfter ?? 2);
      this.waiting.unshift(job);
      return;
    }
    Object.assign(result, { state: "failed", error });
  }
}
