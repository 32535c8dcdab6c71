// The service, as the page knows it: three requests to where the page came from, none elsewhere.

let token = "";

export class ApiError extends Error {
  constructor(code, message, retryAfter = null) {
    super(message);
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

export function setToken(value) {
  token = value;
}

async function ask(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") { throw error; }
    throw new ApiError("unreachable", "The service cannot be reached. Is it still running?");
  }
  if (response.ok) { return bodyOf(response); }
  const retry = Number(response.headers.get("Retry-After")) || null;
  let problem = { code: "internal_error", message: `The service answered ${response.status}.` };
  try {
    const { error } = await response.json();
    if (typeof error?.code === "string") { problem = error; }
  } catch (error) {
    if (error.name === "AbortError") { throw error; }
    // Not ours: the status has to do.
  }
  throw new ApiError(problem.code, problem.message, retry);
}

const broken = () =>
  new ApiError("answer_broken", "The answer of the service did not arrive whole. Try it again.");

// A connection may end in the middle of an answer, and a proxy may answer with a page of its own.
async function bodyOf(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") { throw error; }
    throw broken();
  }
}

export function getMethods() {
  return ask("/v1/methods");
}

// What a dropped folder and a changed file have in common: the browser fails to send them, and says
// no more than that the request failed.
export async function assertReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new ApiError("file_unreadable",
      "The file cannot be read: it is a folder, or was changed, moved or removed. Choose it again.");
  }
}

export async function localize(file, { method, picture, maxSide, signal }) {
  const query = new URLSearchParams({ method, mask: "png", max_side: String(maxSide) });
  for (const part of ["map", "report", ...(picture ? ["picture"] : [])]) {
    query.append("include", part);
  }
  const body = new FormData();
  body.append("file", file, file.name || "pasted picture");
  const answer = await ask(`/v1/localize?${query}`, { method: "POST", body, signal });
  try {
    return unpacked(answer);
  } catch {
    throw broken();
  }
}

// The large parts as blobs, which a browser need not keep in memory for as long as the page is open.
function unpacked(answer) {
  const png = (base64) => base64 && new Blob([bytesOf(base64)], { type: "image/png" });
  const { mask, map, picture, report } = answer;
  return {
    ...answer, mask: { format: mask.format, png: png(mask.base64) }, map: png(map), picture: png(picture),
    report: new Blob([report], { type: "text/html" }),
  };
}

export async function base64Of(blob) {
  const reader = new FileReader();
  await new Promise((resolve, reject) => {
    Object.assign(reader, { onload: resolve, onerror: () => reject(reader.error) });
    reader.readAsDataURL(blob);
  });
  return reader.result.slice(reader.result.indexOf(",") + 1);
}

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) { bytes[i] = text.charCodeAt(i); }
  return bytes;
}
