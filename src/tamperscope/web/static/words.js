// What the page says in words; sentences about scores come from the service, which has them all.

// Python, whose words stand beside these numbers, rounds an exact half to the even digit; toFixed
// rounds it up.
export function fixed(value, digits) {
  const half = Number.isInteger(value * 2 ** (digits + 1)) && (value * 10 ** digits) % 1 === 0.5;
  const text = value.toFixed(digits);
  return half && Number(text.at(-1)) % 2 === 1 ? (value - 0.5 / 10 ** digits).toFixed(digits) : text;
}

// The score of a picture: never a certainty that it is not.
export function scoreText(value) {
  const text = fixed(value, 2);
  if (text === "1.00" && value < 1) { return "> 0.99"; }
  return text === "0.00" && value > 0 ? "< 0.01" : text;
}

export function percent(share) {
  const value = 100 * share;
  if (value === 0 || value === 100) { return `${value} %`; }
  if (value < 0.1) { return "less than 0.1 %"; }
  if (value < 9.95) { return `${fixed(value, 1)} %`; }
  return value >= 99.5 ? "more than 99 %" : `${fixed(value, 0)} %`;
}

// Scales that end early have steps that two digits would hide.
export function number(value, top = 1) {
  return fixed(value, top < 0.3 ? 3 : 2);
}

const SCALES = {
  probability: "estimated probability", saliency: "importance within this picture",
  "cluster similarity": "likeness to the foreign group", fakeness: "fakeness, not a probability",
};

// What the numbers of a map are, in the words of its legend.
export function scaleName(kind) {
  return SCALES[kind] ?? kind;
}

export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function side(from, to, [low, middle, high]) {
  const center = (from + to) / 2;
  if (to - from > 0.7) { return null; }
  return center < 0.4 ? low : center > 0.6 ? high : middle;
}

// Where a mask lies, for those who do not see it.
export function whereabouts(box) {
  if (!box) { return ""; }
  const across = side(box.left, box.right, ["left", "center", "right"]);
  const down = side(box.top, box.bottom, ["upper", "middle", "lower"]);
  const place = across === "center" && down === "middle" ? "in the middle"
    : !across && !down ? "across the whole picture"
    : !across ? `across the ${down} part`
      : !down ? `over the full height, ${across}`
        : `in the ${down} ${across}`;
  const p = (share) => Math.round(100 * share);
  return `The mask lies ${place}: from ${p(box.left)} to ${p(box.right)} percent from the left and `
    + `${p(box.top)} to ${p(box.bottom)} percent from the top.`;
}

const VIEWS = {
  overlay: "Overlay of heat map and mask", split: "Before and after", heat: "Heat map",
  mask: "Mask", picture: "Picture",
};

export function label(item, result, mode, layers) {
  if (!result?.answer) { return `${item.name}, not examined yet`; }
  const { answer } = result;
  const where = layers ? whereabouts(layers.box()) : "";
  return `${VIEWS[mode]} of ${item.name}, by ${answer.title}. ${capital(answer.verdict)}. ${where}`;
}

// A picture may be suspicious as a whole without a region that stands out.
export function suspicious(answer) {
  return answer.flagged || !answer.verdict.startsWith("nothing found");
}

export function stateText(result, paused) {
  switch (result.state) {
    case "waiting": return paused ? "waiting: the service is busy" : "waiting";
    case "running": return "being examined";
    case "done": return result.answer.flagged
      ? `${result.answer.explanation.share} marked` : result.answer.verdict.split(/[,(]/)[0].trim();
    case "failed": return SHORT[result.error.code] ?? result.error.message;
    default: return "";
  }
}

const SHORT = {
  image_damaged: "damaged or incomplete file", image_unsupported: "not a picture that can be read",
  image_empty: "empty file", image_too_large: "too many pixels", time_limit: "took too long",
  worker_died: "the examination crashed", unreachable: "the service cannot be reached",
  answer_broken: "the answer got lost", file_unreadable: "the file cannot be read",
};

// Asking again gives the same answer.
export function permanent(error) {
  const code = String(error?.code ?? "");
  return code.startsWith("image_")
    || ["file_too_large", "file_unreadable", "method_unavailable"].includes(code);
}

export function fileSize(bytes) {
  return bytes >= 1 << 20 ? `${Math.round(bytes / (1 << 20))} MB` : `${Math.round(bytes / 1024)} kB`;
}
