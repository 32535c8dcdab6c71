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
  if (response.ok) { return response.json(); }
  const retry = Number(response.headers.get("Retry-After")) || null;
  let problem = { code: "internal_error", message: `The service answered ${response.status}.` };
  try {
    problem = (await response.json()).error ?? problem;
  } catch { /* not ours: the status has to do */ }
  throw new ApiError(problem.code, problem.message, retry);
}

export function getMethods() {
  return ask("/v1/methods");
}

export function localize(file, { method, picture, maxSide, signal }) {
  const query = new URLSearchParams({ method, mask: "png", max_side: String(maxSide) });
  for (const part of ["map", "report", ...(picture ? ["picture"] : [])]) {
    query.append("include", part);
  }
  const body = new FormData();
  body.append("file", file, file.name || "pasted picture");
  return ask(`/v1/localize?${query}`, { method: "POST", body, signal });
}

export function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) { bytes[i] = text.charCodeAt(i); }
  return bytes;
}
