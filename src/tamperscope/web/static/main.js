// Wires the page: pictures in, the queue, the viewer, the cards.

import { ApiError, getMethods, setToken } from "./api.js";
import { Card } from "./cards.js";
import { filesOf } from "./files.js";
import { loadScale } from "./layers.js";
import { Item, Queue } from "./queue.js";
import { Viewer } from "./viewer.js";
import {
  capital, fileSize, label, number, permanent, scoreText, stateText, suspicious,
} from "./words.js";

const $ = (id) => document.getElementById(id);
const state = { items: [], current: null, method: null, compare: null, limits: null, titles: new Map() };
const elements = new Map(); // item -> its line in the queue
let turn = 0; // of refreshes: a slow one must not overwrite a later one

const queue = new Queue({ onUpdate: updated });
queue.first = () => state.current;

const viewer = new Viewer($("panes"), $("pane-template"), {
  onChange() {
    $("zoom-level").textContent = `${Math.round(100 * viewer.scale * (window.devicePixelRatio || 1))} %`;
  },
  onPoint(point) {
    $("readout").textContent = point
      ? `x ${point.x}, y ${point.y}${point.score === undefined ? "" : ` · score ${number(point.score, point.top)}`}`
      : "";
  },
  onSplit(share) { setSplit(share); },
  onKey: viewerKey,
});

// --- pictures in ------------------------------------------------------------------------------

function take(files) {
  const taken = [];
  for (const file of files) {
    const item = new Item(file);
    state.items.push(item);
    addLine(item);
    taken.push(item);
  }
  if (taken.length === 0) { return; }
  notice("drop", "");
  document.body.classList.remove("empty");
  if (!state.current) { select(taken[0]); }
  if (state.method) { taken.forEach((item) => start(item)); }
  refreshQueue();
}

function tooLarge(item) {
  return item.file.size > state.limits.max_bytes;
}

// What failed is asked again for the method `again` only: looking at a failure must not repeat it.
function start(item, again = null) {
  for (const method of wanted()) {
    const seen = method === state.method || item === state.current;
    const result = item.result(method);
    const failed = result.state === "failed";
    if (tooLarge(item)) {
      const message = `larger than the limit of ${fileSize(state.limits.max_bytes)}`;
      Object.assign(result, { state: "failed", error: new ApiError("file_too_large", message) });
      if (!failed) { updated(item, method); }
    } else if (seen && !(failed && (method !== again || permanent(result.error)))) {
      queue.add(item, method);
    }
  }
}

function wanted() {
  return [state.method, state.compare].filter(Boolean);
}

function remove(item) {
  queue.cancel(item);
  item.close();
  const { root } = elements.get(item);
  const focused = root.contains(document.activeElement);
  root.remove();
  elements.delete(item);
  const index = state.items.indexOf(item);
  state.items.splice(index, 1);
  const next = state.items[Math.min(index, state.items.length - 1)];
  if (state.current === item) {
    state.current = null;
    if (next) { select(next); }
  }
  if (!next) {
    document.body.classList.add("empty");
    refresh();
    $("files").focus();
  } else if (focused) {
    elements.get(next).open.focus();
  }
  refreshQueue();
}

function removeAll() {
  state.current?.close();
  state.current = null; // or each removal would open the next picture
  [...state.items].forEach(remove);
}

// --- the queue --------------------------------------------------------------------------------

function addLine(item) {
  const root = $("item-template").content.firstElementChild.cloneNode(true);
  const line = { root };
  for (const name of ["open", "state", "score", "retry", "remove"]) {
    line[name] = root.querySelector(`.item-${name}`);
  }
  breakable(root.querySelector(".item-name"), item.name);
  line.remove.setAttribute("aria-label", `Remove ${item.name}`);
  line.retry.setAttribute("aria-label", `Try ${item.name} again`);
  line.open.addEventListener("click", () => select(item));
  line.remove.addEventListener("click", () => remove(item));
  line.retry.addEventListener("click", () => queue.add(item, state.method));
  elements.set(item, line);
  $("items").append(root);
  drawThumb(item, root.querySelector("canvas"));
}

// Long names break where people would break them.
function breakable(element, name) {
  for (const piece of name.split(/(?<=[_.-])/)) {
    element.append(piece, document.createElement("wbr"));
  }
}

function drawThumb(item, canvas) {
  const context = canvas.getContext("2d");
  item.peek((bitmap) => {
    if (bitmap) { fill(context, bitmap); return; }
    context.font = "600 44px system-ui, sans-serif";
    [context.fillStyle, context.textAlign, context.textBaseline] = ["#b9b4bd", "center", "middle"];
    context.fillText("?", canvas.width / 2, canvas.height / 2 + 2);
  });
}

// Covers the canvas with the middle of the picture.
function fill(context, bitmap) {
  const { canvas } = context;
  const scale = Math.max(canvas.width / bitmap.width, canvas.height / bitmap.height);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
}

function refreshQueue() {
  let [done, failed] = [0, 0];
  for (const item of state.items) {
    const line = elements.get(item);
    const result = state.method ? item.result(state.method) : { state: "waiting" };
    const finished = result.state === "done" || result.state === "failed";
    done += finished ? 1 : 0;
    failed += result.state === "failed" ? 1 : 0;
    line.root.classList.toggle("failed", result.state === "failed");
    line.root.classList.toggle("flagged", Boolean(result.answer && suspicious(result.answer)));
    line.root.classList.toggle("current", item === state.current);
    line.open.setAttribute("aria-current", item === state.current ? "true" : "false");
    line.state.textContent = stateText(result, queue.pausedUntil > Date.now());
    line.score.textContent = result.answer ? scoreText(result.answer.image_score) : "";
    const again = result.state === "failed" && !permanent(result.error);
    // A button that hides would leave the focus nowhere.
    if (!again && document.activeElement === line.retry) { line.open.focus(); }
    line.retry.hidden = !again;
  }
  const total = state.items.length;
  $("progress-label").textContent = `${done - failed} of ${total} examined`
    + (failed ? `, ${failed} could not be` : "");
  $("progress").max = Math.max(1, total);
  $("progress").value = done;
}

function updated(item, method) {
  refreshQueue();
  const result = item.result(method);
  if (method === state.method && ["done", "failed"].includes(result.state)) {
    const text = result.answer ? result.answer.verdict : result.error.message;
    announce(`${item.name}: ${text}`);
  }
  if (item === state.current && wanted().includes(method)) { refresh(); }
}

let said = [];

// What comes in the same moment is said in one go: the last would hide the rest.
function announce(text) {
  said.push(text);
  if (said.length > 1) { return; }
  queueMicrotask(() => {
    $("announce").textContent = said.join("; ");
    said = [];
  });
}

// --- what is in sight -------------------------------------------------------------------------

function select(item) {
  if (state.current && state.current !== item) { state.current.close(); }
  state.current = item;
  if (state.method) { start(item); }
  refreshQueue();
  refresh();
}

let shownItem = null;

async function refresh() {
  turn += 1;
  const mine = turn;
  const { current: item } = state;
  const methods = state.method ? wanted() : [null];
  $("viewer-title").textContent = item?.name ?? "No picture chosen";
  if (item !== shownItem) {
    // Until this one is open, nothing of the last may stand under its name.
    shownItem = item;
    shownCards = [];
    $("cards").replaceChildren();
    viewer.show(item ? methods.map(() => opening(item)) : []);
  }
  if (!item) { return; }
  await item.open();
  const layers = await Promise.all(methods.map((method) => method && item.layers(method)));
  if (mine !== turn || item !== state.current) { return; }
  viewer.show(methods.map((method, i) => entryOf(item, method, layers[i])));
  showCards(item, methods, layers);
}

function opening(item) {
  return {
    key: item.id, item, layers: null, size: null, title: "", label: `${item.name}, being opened`,
    wait: "being opened", busy: true,
  };
}

function entryOf(item, method, layers) {
  const result = method ? item.result(method) : { state: "waiting" };
  const wait = stateText(result, queue.pausedUntil > Date.now());
  return {
    key: item.id, item, method, layers, picture: item.picture, size: item.size,
    title: `${state.titles.get(method) ?? ""}${result.answer ? ` · ${scoreText(result.answer.image_score)}` : ""}`,
    kind: result.answer?.map_kind,
    label: label(item, result, viewer.look.mode, layers),
    wait: result.state !== "done" ? wait
      : result.undrawable ? "heat map and mask cannot be drawn here" : null,
    busy: result.state === "running" || result.state === "waiting",
  };
}

let shownCards = [];

function showCards(item, methods, layers) {
  const keep = shownCards.length === methods.length
    && shownCards.every((card, i) => card.root && card.item === item && card.method === methods[i]
      && card.layers === layers[i]);
  if (!keep) {
    shownCards = methods.map((method, i) => makeCard(item, method, layers[i]));
    $("cards").replaceChildren(...shownCards.map((card) => card.root ?? waitingCard(item, card.method)));
  }
}

function makeCard(item, method, layers) {
  const result = method && item.result(method);
  if (!result?.answer) { return { item, method }; }
  const card = new Card($("card-template"), {
    item, method, result,
    brief: Boolean(state.compare),
    onLevel(level) {
      layers.setLevel(level);
      viewer.redraw();
      relabel();
    },
    overlayOf: () => viewer.exportOverlay(entryOf(item, method, layers)),
  });
  card.layersCameIn(layers);
  return card;
}

function waitingCard(item, method) {
  const card = $("note-template").content.firstElementChild.cloneNode(true);
  const result = method ? item.result(method) : { state: "waiting" };
  const { error } = result;
  const find = (name) => card.querySelector(name);
  card.classList.toggle("failed", Boolean(error));
  find(".card-title").textContent = state.titles.get(method) ?? "";
  find(".spinner").hidden = Boolean(error);
  find(".note-head").textContent = error ? "Could not be examined" : capital(stateText(result, false));
  find(".note-text").textContent = error ? capital(error.message) : "";
  find(".note-retry").hidden = !error || permanent(error);
  find(".note-retry").addEventListener("click", () => {
    $("results").focus(); // the card goes, and its button with it
    queue.add(item, method);
  });
  return card;
}

function relabel() {
  for (const { entry, canvas } of viewer.panes) {
    if (!entry?.method) { continue; }
    const result = entry.item.result(entry.method);
    canvas.setAttribute("aria-label", label(entry.item, result, viewer.look.mode, entry.layers));
  }
}

// --- controls ---------------------------------------------------------------------------------

function setMode(mode) {
  document.querySelector(`input[name="view"][value="${mode}"]`).checked = true;
  $("split-label").hidden = mode !== "split";
  const plain = mode !== "overlay" && mode !== "split";
  $("opacity-label").hidden = plain;
  $("contour-label").hidden = plain;
  viewer.set({ mode });
  relabel();
}

function setSplit(share) {
  $("split").value = String(Math.round(100 * share));
  viewer.set({ split: share });
}

const VIEW_KEYS = { o: "overlay", b: "split", h: "heat", m: "mask", p: "picture" };

function viewerKey(key) {
  if (VIEW_KEYS[key]) {
    setMode(VIEW_KEYS[key]);
    return true;
  }
  const step = { n: 1, v: -1 }[key];
  const next = state.items[state.items.indexOf(state.current) + (step ?? 0)];
  if (!step || !next) { return false; }
  select(next);
  return true;
}

function wireControls() {
  for (const input of document.querySelectorAll('input[name="view"]')) {
    input.addEventListener("change", () => setMode(input.value));
  }
  $("opacity").addEventListener("input", (event) => {
    $("opacity-value").textContent = `${event.target.value} %`;
    viewer.set({ opacity: event.target.value / 100 });
  });
  $("split").addEventListener("input", (event) => viewer.set({ split: event.target.value / 100 }));
  $("contour").addEventListener("change", (event) => viewer.set({ contour: event.target.checked }));
  $("zoom-in").addEventListener("click", () => viewer.zoom(1.5));
  $("zoom-out").addEventListener("click", () => viewer.zoom(1 / 1.5));
  $("zoom-fit").addEventListener("click", () => viewer.fit());
  $("zoom-one").addEventListener("click", () => viewer.one());
  $("clear").addEventListener("click", removeAll);
  $("help-open").addEventListener("click", () => $("help").showModal());
  $("method").addEventListener("change", (event) => chooseMethod(event.target.value));
  $("compare").addEventListener("change", (event) => {
    state.compare = event.target.value || null;
    if (state.current) { start(state.current, state.compare); }
    refresh();
  });
}

function wireIntake() {
  $("files").addEventListener("change", (event) => {
    take([...event.target.files]);
    event.target.value = "";
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length > 0) {
      event.preventDefault();
      take(files);
    }
  });
  let depth = 0;
  const dragging = (change) => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle("dragging", depth > 0);
  };
  document.addEventListener("dragenter", () => dragging(1));
  document.addEventListener("dragleave", () => dragging(-1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    dragging(0);
    takeDropped(event.dataTransfer);
  });
}

async function takeDropped(transfer) {
  const files = await filesOf(transfer);
  if (files.length === 0) {
    notice("drop", "There is no picture file in what was dropped. Save the picture first, then drop its file.");
  }
  take(files);
}

// --- methods ----------------------------------------------------------------------------------

function chooseMethod(name) {
  state.method = name;
  $("method").value = name;
  const method = state.methods.find((candidate) => candidate.name === name);
  $("method-for").textContent = subject(method);
  $("method-summary").textContent = method.summary;
  if (state.compare === name) { state.compare = null; }
  fillCompare();
  for (const item of state.items) {
    queue.cancel(item, (other) => wanted().includes(other));
    start(item, name);
  }
  refreshQueue();
  refresh();
}

function fillCompare() {
  const others = state.methods.filter((method) => method.available && method.name !== state.method);
  $("compare").replaceChildren(new Option("nothing", ""), ...grouped(others));
  $("compare").value = state.compare ?? "";
  $("compare-label").hidden = others.length === 0;
}

function subject(method) {
  return method.faces ? "For one face that fills the picture." : "For any photo.";
}

// Options of a menu, by what the methods are for.
function grouped(methods) {
  return [false, true].flatMap((faces) => {
    const group = document.createElement("optgroup");
    group.label = faces ? "For one face that fills the picture" : "For any photo";
    group.append(...methods.filter((method) => method.faces === faces).map((method) => {
      const option = new Option(method.available ? method.title : `${method.title} (not available)`, method.name);
      option.disabled = !method.available;
      option.title = method.reason ?? "";
      return option;
    }));
    return group.children.length > 0 ? [group] : [];
  });
}

function introduce({ methods, limits, version, default: first }) {
  state.methods = methods;
  state.limits = limits;
  queue.parallel = limits.workers;
  state.titles = new Map(methods.map((method) => [method.name, method.title]));
  $("version").textContent = version;
  $("limits").textContent = `; up to ${fileSize(limits.max_bytes)} and `
    + `${Math.round(limits.max_pixels / 1e6)} million pixels`;
  $("method").replaceChildren(...grouped(methods));
  const missing = methods.filter((method) => !method.available);
  $("missing").hidden = missing.length === 0;
  $("missing-list").replaceChildren(...missing.map(({ title, reason }) => {
    const line = document.createElement("li");
    line.textContent = `${title}: ${reason}`;
    return line;
  }));
  chooseMethod(first);
}

async function connect() {
  for (;;) {
    try {
      const answer = await getMethods();
      if (answer.default !== null) {
        notice("service", "");
        introduce(answer);
        return;
      }
      notice("service", "The service is loading its methods. Pictures you add wait until it has.");
    } catch (error) {
      if (error.code === "unauthorized") { await login(); continue; }
      notice("service", error.message);
    }
    await new Promise((resolve) => { setTimeout(resolve, 700); });
  }
}

const notices = new Map(); // what about -> text

// An empty text takes back what was said about it.
function notice(about, text) {
  notices.set(about, text);
  const all = [...notices.values()].filter(Boolean).join(" ");
  if ($("notice").textContent !== all) { $("notice").textContent = all; }
  $("notice").hidden = !all;
}

let asked = false;

function login() {
  $("login-error").hidden = !asked;
  $("login-error").textContent = "The service does not know this token.";
  asked = true;
  $("login").showModal();
  return new Promise((resolve) => {
    $("login").addEventListener("close", () => {
      setToken($("token").value.trim());
      $("token").value = "";
      resolve();
    }, { once: true });
  });
}

async function prepareDrawing() {
  try {
    if (await loadScale()) { return; }
    notice("drawing", "This browser keeps pages from reading pixels, so heat maps and masks cannot be "
      + "drawn here. Allow this page to use canvas data and reload it, or download masks and reports.");
  } catch {
    notice("drawing", "The colours of the heat map did not load, so it cannot be drawn. Reload the page.");
  }
}

if (!["localhost", "127.0.0.1", "[::1]"].includes(location.hostname)) {
  $("promise").textContent = `Pictures are sent to ${location.hostname}, examined in memory and forgotten.`;
}
wireControls();
wireIntake();
await prepareDrawing();
await connect();
