/** Charts as SVG: their shapes stretch with the page, their words are HTML and do not. */

import { html } from "./vendor/preact.js";
import { findScale, placePoints } from "./chart_scale.js";

/**
 * @typedef {{name: string, tone: string, values: (number | null)[]}} Series one value for each label
 * @typedef {{title: string, labels: string[], series: Series[], format: (value: number) => string,
 *   describe?: (label: string) => string, empty?: string}} ChartProps
 */

/** The outline of a few values, in a line of text. @param {{values: (number | null)[], label: string, tone?: string}} props */
export function Sparkline({ values, label, tone = "accent" }) {
  const known = /** @type {number[]} */ (values.filter((value) => value !== null));
  const isFlat = !known.some((value) => value > 0);
  // Without any value there is a base line, as of zeros.
  const shown = known.length ? values : values.map(() => 0);
  return html`<svg class=${`sparkline ${isFlat ? "flat" : `tone-${tone}`}`} viewBox="0 -9 100 118" preserveAspectRatio="none" role="img" aria-label=${label}>${drawLine("", "", shown, Math.max(1, ...known))}</svg>`;
}

/** The parts of a line between its gaps; a value between two gaps is a dot. @param {string} name @param {string} tone @param {(number | null)[]} values @param {number} top */
const drawLine = (name, tone, values, top) => placePoints(values, top).map((points, index) => points.length === 1
  ? html`<line key=${name + index} class=${`${tone} dot`} x1=${points[0][0]} x2=${points[0][0]} y1=${points[0][1]} y2=${points[0][1]} />`
  : html`<polyline key=${name + index} class=${tone} points=${points.map((point) => point.join(",")).join(" ")} />`);

/** Stacked bars, one for each label. @param {ChartProps} props */
export function Bars(props) {
  const { labels, series } = props;
  const sums = labels.map((_, index) => series.reduce((sum, one) => sum + (one.values[index] ?? 0), 0));
  const scale = findScale(Math.max(0, ...sums));
  const width = 100 / Math.max(1, labels.length);
  const bars = labels.map((label, index) => {
    let base = 100;
    return series.map((one) => {
      const height = (100 * (one.values[index] ?? 0)) / scale.top;
      base -= height;
      return height > 0 && html`<rect key=${`${label}${one.name}`} class=${`tone-${one.tone}`} x=${index * width + width * 0.14} y=${base} width=${width * 0.72} height=${height} />`;
    });
  });
  return html`<${Frame} ...${props} scale=${scale} hasData=${sums.some((sum) => sum > 0)}>${bars}</${Frame}>`;
}

/** Lines, one for each series; a value that is absent leaves a gap. @param {ChartProps} props */
export function Lines(props) {
  const { labels, series } = props;
  const known = series.flatMap((one) => one.values.filter((value) => value !== null));
  const scale = findScale(Math.max(0, .../** @type {number[]} */ (known)));
  const lines = series.flatMap((one) => drawLine(one.name, `tone-${one.tone}`, one.values, scale.top));
  return html`<${Frame} ...${props} scale=${scale} hasData=${known.length > 0 && labels.length > 0}>${lines}</${Frame}>`;
}

/** @param {ChartProps & {scale: {top: number, ticks: number[]}, hasData: boolean, children?: any}} props */
function Frame({ title, labels, series, format, describe = (label) => label, empty = "No numbers in this time", scale, hasData, children }) {
  const width = 100 / Math.max(1, labels.length);
  const readOut = (/** @type {number} */ index) => [describe(labels[index]), ...series.map((one) => `${one.name}: ${one.values[index] === null ? "–" : format(/** @type {number} */ (one.values[index] ?? 0))}`)].join("\n");
  return html`<figure class="chart" aria-label=${title}>
    <figcaption><strong>${title}</strong><span class="legend">${series.map((one) => html`<span key=${one.name} class=${`tone-${one.tone}`}><i aria-hidden="true"></i>${one.name}</span>`)}</span></figcaption>
    ${!hasData ? html`<p class="chart-empty">${empty}</p>` : html`
      <div class="plot">
        <ol class="y-axis" aria-hidden="true">${scale.ticks.map((tick) => html`<li key=${tick} style=${{ bottom: `${(100 * tick) / scale.top}%` }}>${format(tick)}</li>`)}</ol>
        <svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">
          ${scale.ticks.map((tick) => html`<line key=${tick} class="rule" x1="0" x2="100" y1=${100 - (100 * tick) / scale.top} y2=${100 - (100 * tick) / scale.top} />`)}
          ${children}
          ${labels.map((label, index) => html`<rect key=${label} class="pointer" x=${index * width} y="0" width=${width} height="100"><title>${readOut(index)}</title></rect>`)}
        </svg>
      </div>
      <div class="x-axis" aria-hidden="true"><span>${describe(labels[0])}</span>${labels.length > 1 && html`<span>${describe(/** @type {string} */ (labels.at(-1)))}</span>`}</div>
      <ul class="hidden">${labels.map((label, index) => html`<li key=${label}>${readOut(index)}</li>`)}</ul>`}
  </figure>`;
}
