// The card of one result: score, words, level of the mask, downloads.

import { base64Of } from "./api.js";
import { pngOf } from "./layers.js";
import { capital, number, percent, scoreText, suspicious } from "./words.js";

const ENDINGS = { mask: "mask.png", overlay: "overlay.png", json: "json", report: "html" };

export class Card {
  constructor(template, { item, method, result, brief, onLevel, overlayOf }) {
    Object.assign(this, { item, method, result, onLevel, overlayOf });
    this.root = template.content.firstElementChild.cloneNode(true);
    this.#fill(result.answer);
    this.find("details").open = !brief;
    this.#level();
    for (const button of this.root.querySelectorAll(".downloads button")) {
      button.addEventListener("click", () => this.#download(button.dataset.what));
    }
  }

  find(selector) { return this.root.querySelector(selector); }

  // null: the page cannot draw here, and leaves out what needs it.
  layersCameIn(layers) {
    this.layers = layers;
    this.find(".level").hidden = !layers;
    this.find('[data-what="overlay"]').disabled = !layers;
    this.#showLevel();
  }

  #fill(answer) {
    const find = (selector) => this.find(selector);
    find(".card-title").textContent = answer.title;
    find(".verdict").classList.toggle("flagged", suspicious(answer));
    find(".number").textContent = scoreText(answer.image_score);
    // The score stands beside it, the parts of the face below.
    find(".verdict-text").textContent = capital(answer.verdict).replace(/, score (?:[<>] )?[\d.]+( \(.*\))?/, "");
    find(".caution-text").textContent = answer.explanation.caution ?? "";
    find(".caution-text").hidden = !answer.explanation.caution;
    find(".meter span").style.width = `${100 * answer.image_score}%`;
    find(".score-text").textContent = answer.explanation.score;
    find(".map-text").textContent = answer.explanation.map;
    find(".limits-text").textContent = answer.explanation.limits;
    find(".downloads").setAttribute("aria-label", `Download the result of ${answer.title}`);
    const { width, height } = answer.size;
    find(".card-facts").textContent = `${width} × ${height} pixels. Kind of map: ${answer.map_kind}.`;
    this.#parts(answer);
  }

  #parts({ parts, threshold, map_kind: kind, map_top: top }) {
    if (!parts?.length) { return; }
    this.find(".parts").hidden = false;
    const what = kind === "fakeness" ? "fakeness" : "score";
    const calm = parts.every(({ value }) => value < threshold);
    this.find(".parts h4").textContent = `Mean ${what} by part of the face${calm ? ": none stands out" : ""}`;
    const full = Math.max(parts[0].value, 2 * threshold);
    for (const { name, value } of parts) {
      const entry = document.createElement("li");
      const bar = document.createElement("span");
      bar.className = "bar";
      bar.append(document.createElement("span"));
      bar.firstChild.style.width = `${(100 * value) / full}%`;
      const label = document.createElement("span");
      label.textContent = name;
      entry.append(label, bar, ` ${top < 0.3 ? number(value, top) : scoreText(value)}`);
      entry.classList.toggle("high", value >= threshold);
      this.find(".parts ul").append(entry);
    }
  }

  #level() {
    const slider = this.find(".level input");
    slider.addEventListener("input", () => this.#change(Number(slider.value)));
    this.find(".level-reset").addEventListener("click", () => {
      this.#change(null);
      slider.focus();
    });
    this.#showLevel();
  }

  #scoreOf(level) {
    const top = this.result.answer.map_top;
    return number((level / 255) * top, top);
  }

  #change(level) {
    this.result.level = level;
    this.onLevel(level);
    this.#showLevel();
  }

  #showLevel() {
    const { answer, level } = this.result;
    const slider = this.find(".level input");
    slider.value = String(level ?? Math.round((255 * answer.threshold) / answer.map_top));
    const value = this.#scoreOf(Number(slider.value));
    this.find(".level output").textContent = value;
    const marked = level === null ? answer.forged_fraction : this.layers?.marked ?? 0;
    const mask = level === null ? "The method's own mask" : `Every score from ${value} up`;
    const share = level === null && !answer.flagged ? "empty" : `${percent(marked)} of the picture`;
    this.find(".level-note").textContent = `${mask}: ${share}.`;
    slider.setAttribute("aria-valuetext", `${value}: ${percent(marked)} of the picture marked`);
    this.find(".level-reset").hidden = level === null;
  }

  async #download(what) {
    const stem = this.item.name.replace(/\.[^.]*$/, "");
    const { level } = this.result;
    const at = what === "mask" && level !== null ? `level-${this.#scoreOf(level)}.` : "";
    const note = this.find(".download-note");
    note.hidden = true;
    try {
      save(await this.#content(what), `${stem}.${this.method}.${at}${ENDINGS[what]}`);
    } catch {
      note.textContent = "This browser could not make the file: the picture may be too large for it. "
        + "The report and the method's own mask come from the service.";
      note.hidden = false;
    }
  }

  async #content(what) {
    const { answer, level } = this.result;
    if (what === "overlay") { return this.overlayOf(); }
    if (what === "report") { return answer.report; }
    if (what === "json") {
      const { map, picture, report, overlay, ...kept } = answer;
      kept.mask = { format: "png", base64: await base64Of(answer.mask.png) };
      return new Blob([`${JSON.stringify(kept, null, 2)}\n`], { type: "application/json" });
    }
    if (level === null) { return answer.mask.png; }
    return maskPng(this.layers, answer.size);
  }
}

// The mask of the slider, at the picture's own size, black and white.
function maskPng(layers, { width, height }) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.fillRect(0, 0, width, height);
  context.drawImage(layers.inside, 0, 0, width, height);
  return pngOf(canvas);
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
