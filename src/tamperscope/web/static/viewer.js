// The picture and its layers in one or two panes that zoom and move together.

import { drawOutline, drawPairs, LONGEST_SIDE, pngOf } from "./layers.js";
import { number, scaleName } from "./words.js";

const CLOSEST = 64; // screen pixels for one pixel of the picture
const STEP = 1.25;

// Until another picture is open the last one may be drawn once more, when its bitmap is closed.
function there(picture) {
  return Boolean(picture) && picture.width > 0;
}

export class Viewer {
  constructor(host, template, { onChange, onPoint, onKey, onSplit }) {
    Object.assign(this, { host, template, onChange, onPoint, onKey, onSplit });
    this.panes = [];
    this.size = null;
    this.view = { scale: 1, x: 0, y: 0 };
    this.fitted = true;
    this.look = { mode: "overlay", opacity: 0.7, split: 0.5, contour: true };
    this.pointers = new Map();
    this.scratch = document.createElement("canvas");
    this.dirty = false;
    new ResizeObserver(() => this.#resized()).observe(host);
  }

  // entries: [{title, picture, size, layers, label, wait}], one or two
  show(entries) {
    while (this.panes.length > entries.length) { this.panes.pop().root.remove(); }
    while (this.panes.length < entries.length) { this.#addPane(); }
    entries.forEach((entry, i) => {
      const pane = this.panes[i];
      pane.entry = entry;
      pane.title.textContent = entries.length > 1 ? entry.title : "";
      pane.canvas.setAttribute("aria-label", entry.label);
      pane.wait.hidden = !entry.wait;
      pane.waitText.textContent = entry.wait ?? "";
      pane.wait.querySelector(".spinner").hidden = !entry.busy;
      pane.wait.classList.toggle("alone", !entry.picture);
      pane.scaleName.textContent = scaleName(entry.kind);
      pane.scaleTop.textContent = entry.layers ? number(entry.layers.top, entry.layers.top) : "";
    });
    this.#notes();
    const size = entries[0]?.size ?? null;
    if (size) {
      // Narrow screens give the picture the room it needs, and no more.
      const aspect = Math.min(2.4, Math.max(0.7, size.width / size.height));
      this.host.style.setProperty("--aspect", String(aspect * entries.length));
      this.host.style.setProperty("--stacked", String(aspect / entries.length));
    }
    const same = size && this.size && size.width === this.size.width && size.height === this.size.height
      && entries[0].key === this.key;
    this.size = size;
    this.key = entries[0]?.key;
    if (size && !same) { this.fit(); } else { this.redraw(); }
    this.#resized();
  }

  set(look) {
    Object.assign(this.look, look);
    this.#notes();
    this.redraw();
  }

  #notes() {
    const { mode } = this.look;
    for (const { root, scale, entry } of this.panes) {
      root.classList.toggle("splitting", mode === "split" && Boolean(entry?.layers));
      scale.hidden = !entry?.layers || mode === "mask" || mode === "picture";
    }
  }

  get scale() { return this.view.scale; }

  fit() {
    this.fitted = true;
    this.#fitNow();
    this.#moved();
  }

  one() {
    this.zoom(1 / (window.devicePixelRatio || 1) / this.view.scale);
  }

  zoom(factor, at = null) {
    if (!this.size) { return; }
    const { width, height } = this.#paneSize();
    const [px, py] = at ?? [width / 2, height / 2];
    const { view } = this;
    const scale = Math.min(CLOSEST, Math.max(this.#least(), view.scale * factor));
    // The point under the pointer stays there.
    view.x += (px - width / 2) * (1 / view.scale - 1 / scale);
    view.y += (py - height / 2) * (1 / view.scale - 1 / scale);
    view.scale = scale;
    this.fitted = false;
    this.#moved();
  }

  pan(dx, dy) {
    if (!this.size) { return; }
    this.view.x -= dx / this.view.scale;
    this.view.y -= dy / this.view.scale;
    this.fitted = false;
    this.#moved();
  }

  redraw() {
    if (this.dirty) { return; }
    this.dirty = true;
    requestAnimationFrame(() => {
      this.dirty = false;
      for (const pane of this.panes) { this.#draw(pane); }
    });
  }

  // The overlay of a pane as it is shown, at the picture's own size as far as canvases go.
  exportOverlay(entry) {
    const canvas = document.createElement("canvas");
    const { width, height } = entry.size;
    const scale = Math.min(1, LONGEST_SIDE / Math.max(width, height));
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    const context = canvas.getContext("2d");
    const place = { x: 0, y: 0, width: canvas.width, height: canvas.height };
    this.#overlay(context, entry, place, Math.max(1, Math.sqrt(canvas.width * canvas.height) / 300),
      document.createElement("canvas"));
    return pngOf(canvas);
  }

  #addPane() {
    const root = this.template.content.firstElementChild.cloneNode(true);
    const canvas = root.querySelector("canvas");
    const pane = {
      root, canvas, title: root.querySelector(".pane-title"), wait: root.querySelector(".pane-wait"),
      waitText: root.querySelector(".pane-wait-text"), scale: root.querySelector(".pane-scale"),
      scaleName: root.querySelector(".pane-scale-name"),
      scaleTop: root.querySelector(".pane-scale-top"), entry: null,
    };
    this.panes.push(pane);
    this.host.append(root);
    this.#listen(canvas);
  }

  #listen(canvas) {
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const speed = event.deltaMode === 1 ? 20 : 1;
      this.zoom(Math.exp(-event.deltaY * speed * (event.ctrlKey ? 0.01 : 0.002)), this.#local(event));
    }, { passive: false });
    canvas.addEventListener("dblclick", (event) => this.zoom(2, this.#local(event)));
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      const at = this.#local(event);
      const gap = Math.abs(at[0] - this.look.split * canvas.clientWidth);
      this.splitting = this.look.mode === "split" && gap < 14 && this.pointers.size === 0;
      this.pointers.set(event.pointerId, at);
    });
    canvas.addEventListener("pointermove", (event) => this.#pointerMoved(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    }
    canvas.addEventListener("pointerleave", () => this.onPoint(null));
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  #pointerMoved(event) {
    const now = this.#local(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.#point(now, event.currentTarget);
      return;
    }
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId);
    this.pointers.set(event.pointerId, now);
    if (this.splitting) {
      this.onSplit(Math.min(1, Math.max(0, now[0] / event.currentTarget.clientWidth)));
      return;
    }
    if (others.length === 0) {
      this.pan(now[0] - before[0], now[1] - before[1]);
      return;
    }
    const [, other] = others[0];
    const distance = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]);
    const middle = [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2];
    this.zoom(distance(now) / Math.max(1, distance(before)), middle);
    this.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
  }

  #point([px, py], canvas) {
    const pane = this.panes.find((candidate) => candidate.canvas === canvas);
    if (!this.size || !pane?.entry) { return; }
    const { width, height } = this.#paneSize();
    const x = Math.floor(this.view.x + (px - width / 2) / this.view.scale);
    const y = Math.floor(this.view.y + (py - height / 2) / this.view.scale);
    const inside = x >= 0 && y >= 0 && x < this.size.width && y < this.size.height;
    this.onPoint(inside
      ? { x, y, score: pane.entry.layers?.scoreAt(x, y), top: pane.entry.layers?.top } : null);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) { return; }
    const moves = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
    const actions = {
      "+": () => this.zoom(STEP), "=": () => this.zoom(STEP), "-": () => this.zoom(1 / STEP),
      0: () => this.fit(), 1: () => this.one(),
    };
    const move = moves[event.key];
    const action = move ? () => this.pan(...move) : actions[event.key];
    if (action) {
      action();
    } else if (!this.onKey(event.key.toLowerCase())) {
      return;
    }
    event.preventDefault();
  }

  #local(event) {
    const box = event.currentTarget.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #paneSize() {
    const canvas = this.panes[0]?.canvas;
    return { width: canvas?.clientWidth || 1, height: canvas?.clientHeight || 1 };
  }

  #fitScale() {
    if (!this.size) { return 1; }
    const { width, height } = this.#paneSize();
    return Math.min(width / this.size.width, height / this.size.height, CLOSEST);
  }

  #least() {
    return Math.min(this.#fitScale(), 1 / (window.devicePixelRatio || 1)) / 2;
  }

  #fitNow() {
    if (!this.size) { return; }
    this.view = { scale: this.#fitScale(), x: this.size.width / 2, y: this.size.height / 2 };
  }

  #moved() {
    if (this.size) {
      this.view.x = Math.min(this.size.width, Math.max(0, this.view.x));
      this.view.y = Math.min(this.size.height, Math.max(0, this.view.y));
    }
    for (const { canvas } of this.panes) {
      // A picture that is all in sight must not keep a finger from scrolling the page.
      canvas.style.touchAction = this.fitted ? "pan-y" : "none";
    }
    this.redraw();
    this.onChange();
  }

  #resized() {
    const ratio = window.devicePixelRatio || 1;
    for (const { canvas } of this.panes) {
      const width = Math.round(canvas.clientWidth * ratio);
      const height = Math.round(canvas.clientHeight * ratio);
      if (canvas.width !== width || canvas.height !== height) {
        canvas.width = width;
        canvas.height = height;
      }
    }
    if (this.fitted) { this.#fitNow(); }
    this.redraw();
    this.onChange();
  }

  #place(canvas) {
    const ratio = window.devicePixelRatio || 1;
    const { scale, x, y } = this.view;
    return {
      x: canvas.width / 2 - x * scale * ratio, y: canvas.height / 2 - y * scale * ratio,
      width: this.size.width * scale * ratio, height: this.size.height * scale * ratio,
    };
  }

  #draw({ canvas, entry }) {
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    // While the page is laid out anew a pane may have no size at all.
    if (!entry || !this.size || canvas.width * canvas.height === 0) { return; }
    const place = this.#place(canvas);
    context.imageSmoothingEnabled = place.width < 2 * this.size.width;
    context.imageSmoothingQuality = "high";
    const { mode, split } = this.look;
    const thickness = Math.max(1, window.devicePixelRatio || 1) * 1.6;
    const draw = (source) => context.drawImage(source, place.x, place.y, place.width, place.height);
    if (!entry.layers || mode === "picture") {
      if (there(entry.picture)) { draw(entry.picture); }
    } else if (mode === "heat") {
      draw(entry.layers.opaque);
    } else if (mode === "mask") {
      context.fillRect(place.x, place.y, place.width, place.height);
      draw(entry.layers.inside);
    } else {
      this.#overlay(context, entry, place, thickness, this.scratch);
      if (mode === "split") { this.#splitAt(context, place, split, entry.picture); }
    }
  }

  #overlay(context, entry, place, thickness, scratch) {
    const { opacity, contour } = this.look;
    const draw = (source) => context.drawImage(source, place.x, place.y, place.width, place.height);
    context.globalAlpha = 1;
    if (there(entry.picture)) { draw(entry.picture); }
    context.fillStyle = `rgb(0 0 0 / ${0.3 * opacity})`;
    context.fillRect(place.x, place.y, place.width, place.height);
    context.globalAlpha = opacity;
    draw(entry.layers.heat);
    context.globalAlpha = 1;
    context.fillStyle = "#000";
    if (!contour) { return; }
    drawOutline(context, entry.layers, place, thickness, scratch);
    drawPairs(context, entry.layers, place, thickness);
  }

  #splitAt(context, place, split, picture) {
    const { width, height } = context.canvas;
    const edge = Math.round(width * split);
    context.save();
    context.beginPath();
    context.rect(0, 0, edge, height);
    context.clip();
    context.clearRect(0, 0, width, height);
    if (there(picture)) { context.drawImage(picture, place.x, place.y, place.width, place.height); }
    context.restore();
    const ratio = window.devicePixelRatio || 1;
    context.fillStyle = "#fff";
    context.fillRect(edge - ratio, 0, 2 * ratio, height);
    context.beginPath();
    context.arc(edge, height / 2, 13 * ratio, 0, 2 * Math.PI);
    context.fill();
    context.fillStyle = "#000";
    for (const side of [-1, 1]) {
      context.beginPath();
      context.moveTo(edge + side * 9 * ratio, height / 2);
      context.lineTo(edge + side * 3 * ratio, height / 2 - 5 * ratio);
      context.lineTo(edge + side * 3 * ratio, height / 2 + 5 * ratio);
      context.fill();
    }
  }
}
