/** Times, sizes and money as text. Pure. */

/** @param {number} seconds */
export function formatSeconds(seconds) {
  if (seconds < 0.0005) return "0 s";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** @param {number} milliseconds */
export const formatMs = (milliseconds) => formatSeconds(milliseconds / 1000);

/** @param {string} from @param {string} to seconds between two times */
export const secondsBetween = (from, to) => (Date.parse(to) - Date.parse(from)) / 1000;

/** "3 min ago" or "in 5 s". @param {string} time @param {number} now in milliseconds */
export function formatDistance(time, now) {
  const seconds = (Date.parse(time) - now) / 1000;
  if (Math.abs(seconds) < 1) return "now";
  const span = formatSeconds(Math.max(1, Math.abs(seconds)) < 10 ? Math.round(Math.abs(seconds)) : Math.abs(seconds));
  return seconds < 0 ? `${span.replace(".0", "")} ago` : `in ${span.replace(".0", "")}`;
}

// A format of its own for each text takes most of a row's time.
const CLOCK = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat([], { day: "numeric", month: "short" });
const FULL = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "long" });

/** The time of day, with the date unless it is today. @param {string} time @param {number} now */
export function formatTime(time, now) {
  const date = new Date(time);
  const clock = CLOCK.format(date);
  if (date.toDateString() === new Date(now).toDateString()) return clock;
  return `${DAY.format(date)}, ${clock}`;
}

/** @param {string} time with the date and the zone */
export const formatFullTime = (time) => FULL.format(new Date(time));

/** @param {number} bytes */
export function formatBytes(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1_000_000) return `${Math.round(bytes / 1000)} kB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** @param {number} amount */
export const formatCredits = (amount) => `${amount.toLocaleString()} ${amount === 1 ? "credit" : "credits"}`;

/** @param {number} amount */
export const formatUsd = (amount) => (amount === 0 ? "$0" : `$${amount.toFixed(amount < 0.1 ? 3 : 2)}`);

/** @param {number} number @param {string} noun its singular */
export const countOf = (number, noun) => `${number.toLocaleString()} ${noun}${number === 1 ? "" : "s"}`;

/** "image-generation" → "Image generation", "ai-processing" → "AI processing". @param {string} name */
export function formatType(name) {
  const words = name.replaceAll("-", " ").replace(/^ai\b/, "AI");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** @param {any} payload the words that a person would know a job by */
export function findPrompt(payload) {
  if (!payload) return "";
  for (const name of ["prompt", "text", "input", "title"]) {
    if (typeof payload[name] === "string" && payload[name].trim()) return payload[name];
  }
  if (Array.isArray(payload.prompts)) return payload.prompts.join(" · ");
  if (typeof payload.content === "string") return payload.content.slice(0, 300);
  if (payload.operation) return payload.operation;
  if (payload.steps && typeof payload.steps === "object") return Object.keys(payload.steps).join(" → ");
  if (Array.isArray(payload.scenes)) return countOf(payload.scenes.length, "scene");
  const file = payload.imageUrl ?? payload.contentUrl ?? "";
  return isUpload(file) ? file : nameFile(file);
}

/** Tell if a text is the reference of an upload, whose name the API knows. @param {string} text */
export const isUpload = (text) => text.startsWith("upload:");

/** The file's name in an address. @param {string} url */
export function nameFile(url) {
  const last = url.split(/[?#]/)[0].split("/").pop() || url;
  try { return decodeURIComponent(last); } catch { return last; }
}

/** @param {{captured: number, held: number, released: number}} credits */
export function describeCredits(credits) {
  const parts = [];
  if (credits.captured) parts.push(`${credits.captured} charged`);
  if (credits.held) parts.push(`${credits.held} held`);
  if (credits.released) parts.push(`${credits.released} returned`);
  return parts.join(", ") || "free";
}
