// From the numbers of a result to canvases that can be drawn: heat, mask, outline.

export const LONGEST_SIDE = 4096; // Larger canvases fail on phones; masks are saved in full anyway.

let scaleColors = null;

function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

function pixelsOf(source, width, height) {
  const canvas = canvasOf(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

const SCALE_ENDS = [[0, 0, 4], [252, 255, 164]];

// One entry of the colour scale per level, as the report has them. False where the browser, against
// being recognised, lets no page read pixels: what it gives instead must not be drawn as a finding.
export async function loadScale() {
  const image = new Image();
  image.src = "/static/scale.png";
  await image.decode();
  const { data } = pixelsOf(image, 256, 1);
  const read = SCALE_ENDS.every((color, end) =>
    color.every((value, i) => Math.abs(data[4 * 255 * end + i] - value) <= 2));
  scaleColors = read ? new Uint32Array(data.buffer) : null;
  return read;
}

function firstChannel(image) {
  const { data, width, height } = image;
  const levels = new Uint8Array(width * height);
  for (let i = 0; i < levels.length; i += 1) { levels[i] = data[4 * i]; }
  return levels;
}

function decodePng(blob) {
  // Numbers, not colours: nothing may convert them.
  return createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
}

// A canvas as a PNG file; browsers give none of one that is too large for them.
export function pngOf(canvas) {
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no picture"))), "image/png");
  });
}

export async function decodePicture(file) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return null; // A format this browser cannot show: the service can.
  }
}

export async function layersOf(answer) {
  if (!scaleColors) { throw new Error("pixels cannot be read"); }
  const map = await decodePng(answer.map);
  const { width, height } = map;
  const levels = firstChannel(pixelsOf(map, width, height));
  map.close();
  const bitmap = await decodePng(answer.mask.png);
  const own = firstChannel(pixelsOf(bitmap, width, height)).map((value) => (value >= 128 ? 1 : 0));
  bitmap.close();
  return new Layers(levels, own, width, height, answer);
}

class Layers {
  constructor(levels, own, width, height, answer) {
    Object.assign(this, { levels, own, width, height });
    this.full = answer.size;
    this.top = answer.map_top; // the score of level 255
    this.pairs = (answer.copied ?? []).map(({ boxes }) => boxes);
    this.level = null; // null: the method's own mask
    this.heat = this.#paint((level) => (scaleColors[level] & 0xffffff) | (level << 24));
    this.#mask();
  }

  get opaque() {
    this.opaqueCanvas ??= this.#paint((level) => scaleColors[level]);
    return this.opaqueCanvas;
  }

  setLevel(level) {
    this.level = level;
    this.#mask();
  }

  // Score of a pixel of the picture, 0 to `top`.
  scoreAt(x, y) {
    const column = Math.min(this.width - 1, Math.floor((x * this.width) / this.full.width));
    const row = Math.min(this.height - 1, Math.floor((y * this.height) / this.full.height));
    return (this.levels[row * this.width + column] / 255) * this.top;
  }

  // Bounding box of the mask as shares of the picture's sides; null for an empty mask.
  box() {
    const { mask, width, height } = this;
    let [left, top, right, bottom] = [width, height, -1, -1];
    for (let y = 0, i = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1, i += 1) {
        if (!mask[i]) { continue; }
        left = Math.min(left, x);
        right = Math.max(right, x);
        top = Math.min(top, y);
        bottom = y;
      }
    }
    if (right < 0) { return null; }
    return { left: left / width, right: (right + 1) / width,
      top: top / height, bottom: (bottom + 1) / height };
  }

  #paint(colorOf) {
    const table = new Uint32Array(256);
    for (let level = 0; level < 256; level += 1) { table[level] = colorOf(level) >>> 0; }
    return this.#fill((i) => table[this.levels[i]]);
  }

  #fill(valueAt) {
    const canvas = canvasOf(this.width, this.height);
    const context = canvas.getContext("2d");
    const image = context.createImageData(this.width, this.height);
    const values = new Uint32Array(image.data.buffer);
    for (let i = 0; i < values.length; i += 1) { values[i] = valueAt(i); }
    context.putImageData(image, 0, 0);
    return canvas;
  }

  #mask() {
    const { level, levels } = this;
    this.mask = level === null ? this.own : levels.map((value) => (value >= level ? 1 : 0));
    const { mask } = this;
    this.marked = mask.reduce((sum, value) => sum + value, 0) / mask.length;
    // White where marked, black where not: two lines of an outline are cut out of these.
    this.inside = this.#fill((i) => (mask[i] ? 0xffffffff : 0));
    this.outside = this.#fill((i) => (mask[i] ? 0 : 0xff000000));
  }
}

const AROUND = [[1, 0], [-1, 0], [0, 1], [0, -1], [0.7, 0.7], [-0.7, 0.7], [0.7, -0.7], [-0.7, -0.7]];

// Draws the double outline with lines of `thickness` device pixels, whatever the zoom.
export function drawOutline(context, layers, place, thickness, scratch) {
  if (layers.marked === 0) { return; }
  const { width, height } = context.canvas;
  if (scratch.width !== width || scratch.height !== height) {
    scratch.width = width;
    scratch.height = height;
  }
  const pen = scratch.getContext("2d");
  pen.imageSmoothingEnabled = context.imageSmoothingEnabled;
  const draw = (canvas, dx = 0, dy = 0) =>
    pen.drawImage(canvas, place.x + dx, place.y + dy, place.width, place.height);
  const ring = (canvas, operation) => {
    pen.globalCompositeOperation = "source-over";
    pen.clearRect(0, 0, width, height);
    for (const [dx, dy] of AROUND) { draw(canvas, dx * thickness, dy * thickness); }
    pen.globalCompositeOperation = operation;
    draw(layers.inside);
    context.drawImage(scratch, 0, 0);
  };
  context.save();
  context.resetTransform();
  context.globalAlpha = 1;
  ring(layers.inside, "destination-out");
  ring(layers.outside, "destination-in");
  context.restore();
}

// Where the line from the middle of one box to that of another leaves the first.
function facing([left, top, right, bottom], other) {
  const [x, y] = [(left + right) / 2, (top + bottom) / 2];
  const [dx, dy] = [(other[0] + other[2]) / 2 - x, (other[1] + other[3]) / 2 - y];
  const share = Math.min(1, (right - left) / 2 / Math.abs(dx), (bottom - top) / 2 / Math.abs(dy));
  return [x + share * dx, y + share * dy];
}

// Frames places that are alike, and joins the frames, with lines of `thickness` device pixels.
export function drawPairs(context, { pairs, full }, place, thickness) {
  const [sx, sy] = [place.width / full.width, place.height / full.height];
  const at = ([x, y]) => [place.x + x * sx, place.y + y * sy];
  context.save();
  for (const [colour, width] of [["#000", 3 * thickness], ["#78dcff", thickness]]) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    for (const [first, second] of pairs) {
      context.moveTo(...at(facing(first, second)));
      context.lineTo(...at(facing(second, first)));
      for (const [left, top, right, bottom] of [first, second]) {
        context.rect(...at([left, top]), (right - left) * sx, (bottom - top) * sy);
      }
    }
    context.stroke();
  }
  context.restore();
}
