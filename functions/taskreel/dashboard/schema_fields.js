/** From a job type's JSON Schema to the fields of a form, and back to a request. Pure. */

/**
 * @typedef {{name: string, path: string[], label: string, hint: string, required: boolean,
 *   kind: "text" | "long" | "number" | "choice" | "switch" | "lines" | "json" | "group",
 *   choices: string[], minimum?: number, maximum?: number, step?: string, initial: any, fields: Field[],
 *   maxLength?: number}} Field
 */

const LONG_TEXT = 400;
/** Fields of the envelope that a person at this form has no use for. */
const LEFT_OUT = new Set(["userId", "id", "createdAt", "userSubscription", "dependsOn"]);
/** Optional fields of every type: when, how often and for whom. They are under "More settings". */
const ENVELOPE = new Set([
  "projectId", "priority", "quality", "maxUsd", "scheduleAt", "startWithinSeconds", "deadlineSeconds", "timeoutSeconds", "retry",
  "dependsOn", "webhookUrl", "webhookEvents", "cacheSeconds", "skipCache",
]);
/** Fields of every type that are seen with its own. */
const SHARED = ["model", "provider"];
/** Behind the fields of an example, which has the order of the documents: what else is required, a type's own fields, the shared ones. */
const REQUIRED = 100, OWN = 200;

/** Fields whose name in the API does not explain itself, or is that of another field. @type {Record<string, string>} */
const LABELS = {
  numImages: "Number of images", numSequences: "Number of scenes", cfgScale: "Guidance (CFG scale)", "options.fps": "Frames a second", "options.musicGainDb": "Level of the music, in dB",
  projectId: "Project", maxUsd: "Most that it may cost, in US dollars", quality: "Class of the model", scheduleAt: "Start at",
  startWithinSeconds: "Seconds to start within", deadlineSeconds: "Seconds to end within", timeoutSeconds: "Longest attempt, in seconds",
  cacheSeconds: "Reuse a result of the last seconds", skipCache: "Make the result anew", webhookUrl: "Webhook's address", webhookEvents: "Events sent to the webhook",
  "retry.maxAttempts": "Most attempts", "retry.minBackoffSeconds": "Shortest pause, in seconds", "retry.maxBackoffSeconds": "Longest pause, in seconds",
  "retry.backoffSeconds": "Pause, in seconds", "options.quality": "Quality of the rendering", "options.providerOptions": "The provider's own options",
};
/** @type {Record<string, string>} */
const HINTS = {
  model: "Empty: the provider's usual one.", provider: "Empty or auto: chosen for you.", maxUsd: "It fails before it is bought where the price is above.",
  startWithinSeconds: "Else it expires, free.", deadlineSeconds: "From now until its end, with all attempts.", scheduleAt: "For example 2030-01-01T09:00:00Z.",
};

/** @param {any} schema a request's schema @returns {Field[]} */
export function readFields(schema) {
  return readProperties(schema, schema.$defs ?? {}, [], 0);
}

/** @param {any} schema @param {any} defs @param {string[]} path @param {number} depth @returns {Field[]} */
function readProperties(schema, defs, path, depth) {
  const required = new Set(schema.required ?? []);
  const fields = [];
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const hint = property.description ?? "";
    if (hint.startsWith("The same as") || hint === "Ignored." || (depth === 0 && LEFT_OUT.has(name))) continue;
    fields.push(readField(name, property, defs, [...path, name], required.has(name), depth));
  }
  // Free JSON is for the few who need it: after the fields that explain themselves.
  return [...fields.filter((field) => field.kind !== "json"), ...fields.filter((field) => field.kind === "json")];
}

/** @param {string} name @param {any} property @param {any} defs @param {string[]} path @param {boolean} required @param {number} depth @returns {Field} */
function readField(name, property, defs, path, required, depth) {
  const options = (property.anyOf ?? [property]).map((/** @type {any} */ one) => resolve(one, defs)).filter((/** @type {any} */ one) => one.type !== "null");
  const main = options.find((/** @type {any} */ one) => one.type === "string") ?? options[0] ?? {};
  /** @type {Field} */
  const field = {
    name, path, required, label: LABELS[path.join(".")] ?? splitWords(name), hint: firstSentence(property.description ?? main.description ?? "") || HINTS[path.join(".")] || "", kind: "json",
    choices: [], fields: [], initial: property.default ?? undefined, minimum: main.minimum ?? main.exclusiveMinimum, maximum: main.maximum, maxLength: main.maxLength,
  };
  if (main.enum) return { ...field, kind: "choice", choices: main.enum };
  if (main.type === "boolean") return { ...field, kind: "switch" };
  if (main.type === "integer" || main.type === "number") return { ...field, kind: "number", step: main.type === "integer" ? "1" : "any" };
  if (main.type === "string") {
    const long = name === "prompt" || name === "text" || (main.maxLength ?? 0) > LONG_TEXT && (main.maxLength ?? 0) <= 500_000;
    return { ...field, kind: long ? "long" : "text" };
  }
  if (main.type === "array" && resolve(main.items ?? {}, defs).type === "string") return { ...field, kind: "lines" };
  if (main.type === "object" && main.properties && depth < 2) {
    return { ...field, kind: "group", fields: readProperties(main, defs, path, depth + 1) };
  }
  return field;
}

/** @param {any} schema @param {any} defs */
function resolve(schema, defs) {
  return schema.$ref ? { ...defs[schema.$ref.split("/").pop()], ...schema } : schema;
}

/**
 * The fields to see at once, in the order in which the documents write them; and groups of others.
 * @param {Field[]} fields @param {any} example
 */
export function splitFields(fields, example) {
  const names = Object.keys(example);
  const isPlain = (/** @type {Field} */ field) => !["group", "json"].includes(field.kind);
  const isFirst = (/** @type {Field} */ field) => field.required || (field.kind !== "group" && names.includes(field.name)) || (isPlain(field) && !ENVELOPE.has(field.name));
  const rank = (/** @type {Field} */ field) => {
    if (names.includes(field.name)) return names.indexOf(field.name);
    return field.required ? REQUIRED : OWN + SHARED.indexOf(field.name);
  };
  const others = fields.filter((field) => !isFirst(field));
  const rare = others.filter((field) => field.name !== "options" && !ENVELOPE.has(field.name));
  return {
    first: fields.filter(isFirst).sort((one, other) => rank(one) - rank(other)),
    groups: [
      ...others.filter((field) => field.name === "options").map((field) => ({ label: field.label, fields: field.fields })),
      ...(rare.length ? [{ label: "Other fields", fields: rare }] : []),
    ],
    more: others.filter((field) => ENVELOPE.has(field.name)),
  };
}

/**
 * Values under the names that the form's fields have: a request may use other ones for them.
 * @param {any} schema @param {any} values
 */
export function renameAliases(schema, values) {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => {
    const meant = schema.properties?.[name]?.description?.match(/^The same as `(\w+)`/)?.[1];
    return [meant && !(meant in values) ? meant : name, value];
  }));
}

/**
 * The providers that serve a type, and the models of the one that is chosen, or of all of them.
 * @param {any[]} providers those of the API @param {{jobType: string, capability: string}} type @param {any} chosen the provider
 */
export function suggestNames(providers, type, chosen) {
  const serving = providers.filter((one) => one.jobTypes.includes(type.jobType));
  const named = serving.filter((one) => one.provider === chosen);
  const models = (named.length ? named : serving).flatMap((one) => one.models).filter((one) => one.capability === type.capability && !one.retired);
  return { provider: serving.length ? ["auto", ...serving.map((one) => one.provider)] : [], model: [...new Set(models.map((one) => one.name))] };
}

/** @param {any} values @param {string[]} path */
export const readValue = (values, path) => path.reduce((value, name) => value?.[name], values);

/** Tell if a field takes the address of a file, for which an upload's reference may stand. @param {Field} field */
export const isFileAddress = (field) => ["text", "lines"].includes(field.kind) && /(^|[a-z])(image|video|audio|content|file|mask|media)?urls?$/i.test(field.name) && !/webhook/i.test(field.name);

/** A field's value with one more upload: in a list behind the others, else in place of what was there. @param {Field} field @param {any} value @param {string} reference */
export const addReference = (field, value, reference) => (field.kind === "lines" ? [...(Array.isArray(value) ? value : []), reference] : reference);

/** A copy with one value set; undefined removes it. @param {any} values @param {string[]} path @param {any} value @returns {any} */
export function setValue(values, path, value) {
  const [name, ...rest] = path;
  const changed = { ...values };
  const inner = rest.length ? setValue(changed[name] ?? {}, rest, value) : value;
  if (inner === undefined || (rest.length && Object.keys(inner).length === 0)) delete changed[name];
  else changed[name] = inner;
  return changed;
}

/** What a person typed as the field's value; undefined for nothing. @param {Field} field @param {string} text */
export function parseInput(field, text) {
  if (text === "") return undefined;
  switch (field.kind) {
    case "number": return Number.isFinite(Number(text)) ? Number(text) : text;
    case "switch": return text === "true";
    case "lines": return text.split("\n").filter((line) => line.trim());
    case "json": try { return JSON.parse(text); } catch { return text; }
    default: return text;
  }
}

/** @param {Field} field @param {any} value */
export function formatInput(field, value) {
  if (value === undefined || value === null) return "";
  if (field.kind === "lines" && Array.isArray(value) && value.every((one) => typeof one === "string")) return value.join("\n");
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

/**
 * The JSON merge patch (RFC 7396) from one payload to another; null if they are equal.
 * @param {any} before @param {any} after @returns {any}
 */
export function buildMergePatch(before, after) {
  /** @type {Record<string, any>} */ const patch = {};
  for (const name of Object.keys(before)) if (!(name in after)) patch[name] = null;
  for (const [name, value] of Object.entries(after)) {
    const old = before[name];
    if (isObject(value) && isObject(old)) {
      const inner = buildMergePatch(old, value);
      if (inner) patch[name] = inner;
    } else if (JSON.stringify(old) !== JSON.stringify(value)) patch[name] = value;
  }
  return Object.keys(patch).length ? patch : null;
}

/** @param {any} value */
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

/** "negativePrompt" → "Negative prompt", "imageUrl" → "Image URL". @param {string} name */
export function splitWords(name) {
  const words = name.replaceAll("_", " ").replace(/([a-z0-9])([A-Z])/g, (_, one, other) => `${one} ${other.toLowerCase()}`);
  return (words.charAt(0).toUpperCase() + words.slice(1)).replace(/\burl(s?)\b/gi, "URL$1");
}

/** @param {string} text */
const firstSentence = (text) => (text.match(/^.*?\.(?=\s+[A-Z]|$)/m)?.[0] ?? text.split("\n")[0]).replaceAll("`", "");
