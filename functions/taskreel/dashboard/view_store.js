/** Named lists of jobs in a browser's storage. Pure, but for the storage that it is given. */

const KEY = "taskreel.views";
const MOST = 30;

/**
 * @typedef {{name: string, query: string}} View `query` is that of the page's address
 * @typedef {{getItem: (key: string) => string | null, setItem: (key: string, text: string) => void}} Stored
 */

/** @param {Stored} storage @returns {View[]} none if what is stored is not ours */
export function readViews(storage) {
  try {
    const found = JSON.parse(storage.getItem(KEY) ?? "[]");
    return found.filter((/** @type {any} */ one) => typeof one?.name === "string" && typeof one?.query === "string");
  } catch { return []; }
}

/** Add a view, or replace the one of that name. @param {Stored} storage @param {View} view @returns {View[]} */
export function storeView(storage, view) {
  return write(storage, [...readViews(storage).filter((one) => one.name !== view.name), view].slice(-MOST));
}

/** @param {Stored} storage @param {string} name @returns {View[]} */
export const removeView = (storage, name) => write(storage, readViews(storage).filter((one) => one.name !== name));

/** @param {Stored} storage @param {View[]} views */
function write(storage, views) {
  storage.setItem(KEY, JSON.stringify(views));
  return views;
}
