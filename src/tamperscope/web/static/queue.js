// Pictures on their way: as many at once as the service has workers, the one in sight first.

import { decodePicture, layersOf, LONGEST_SIDE } from "./layers.js";
import { bytesOf, localize } from "./api.js";

let ids = 0;

export class Item {
  constructor(file) {
    ids += 1;
    this.id = ids;
    this.file = file;
    this.name = file.name || `pasted picture ${ids}`;
    this.results = new Map(); // method -> {state, answer, error, controller, level}
    this.picture = undefined; // bitmap; null: this browser cannot read the file
    this.size = null;
  }

  result(method) {
    if (!this.results.has(method)) { this.results.set(method, { state: "none", level: null }); }
    return this.results.get(method);
  }

  // What is drawn: decoded when it is looked at, and let go when it is not.
  async open() {
    if (this.picture === undefined) { this.picture = await decodePicture(this.file); }
    const shown = [...this.results.values()].find((result) => result.answer);
    const wrong = shown && this.picture && !sameSize(this.picture, shown.answer.size);
    if (shown?.answer.picture && (wrong || !this.picture)) {
      this.picture = await decodePicture(
        new Blob([bytesOf(shown.answer.picture)], { type: "image/png" }));
    }
    this.size = shown?.answer.size ?? (this.picture
      ? { width: this.picture.width, height: this.picture.height } : null);
  }

  async layers(method) {
    const result = this.result(method);
    if (!result.answer) { return null; }
    result.layers ??= layersOf(result.answer).then((layers) => {
      if (result.level !== null) { layers.setLevel(result.level); }
      return layers;
    });
    return result.layers;
  }

  close() {
    this.picture?.close?.();
    this.picture = undefined;
    for (const result of this.results.values()) { delete result.layers; }
  }
}

function sameSize(a, b) {
  return a.width === b.width && a.height === b.height;
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
    result.controller = new AbortController();
    this.onUpdate(item, method);
    try {
      result.answer = await this.#ask(item, method, result.controller.signal);
      result.state = "done";
    } catch (error) {
      this.#failed(job, error);
    }
    this.running -= 1;
    this.onUpdate(item, method);
    this.#pump();
  }

  async #ask(item, method, signal) {
    const options = { method, signal, maxSide: LONGEST_SIDE };
    const local = await decodePicture(item.file);
    const size = local && { width: local.width, height: local.height };
    local?.close();
    const answer = await localize(item.file, { ...options, picture: !size });
    const fits = !size || sameSize(size, answer.size);
    // A browser that turns or cuts the picture otherwise must not misplace the mask.
    return fits ? answer : localize(item.file, { ...options, picture: true });
  }

  #failed(job, error) {
    const { result } = job;
    if (error.name === "AbortError") { return; }
    if (error.code === "queue_full" || error.code === "shutting_down") {
      result.state = "waiting";
      this.pausedUntil = Date.now() + 1000 * (error.retryAfter ?? 2);
      this.waiting.unshift(job);
      return;
    }
    Object.assign(result, { state: "failed", error });
  }
}
