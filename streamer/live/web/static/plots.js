// Small line plots of the last minutes, as SVG. No library: two shapes, an axis and a reading under the pointer.

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 30, TOP = 6, BOTTOM = 14, HEIGHT = 76;
export const WINDOW_SECONDS = 300;

/** One plot in a <figure class="plot">: `draw(points)` with points [{age, value, high}], oldest first. */
export class Plot {
  constructor(figure, describe) {
    this.svg = figure.querySelector("svg");
    this.output = figure.querySelector("output");
    this.label = figure.querySelector("figcaption span").textContent;
    this.describe = describe;
    this.points = [];
    this.hoverX = null;
    this.svg.addEventListener("pointermove", (event) => {
      this.hoverX = event.clientX - this.svg.getBoundingClientRect().left;
      this.render();
    });
    this.svg.addEventListener("pointerleave", () => { this.hoverX = null; this.render(); });
    new ResizeObserver(() => this.render()).observe(this.svg);
  }

  draw(points) {
    this.points = points.filter((point) => point.age <= WINDOW_SECONDS);
    this.render();
  }

  render() {
    const width = this.svg.clientWidth;
    if (!width) return;
    const known = this.points.filter((point) => point.value !== null);
    const top = niceTop(Math.max(0, ...known.map((point) => point.high ?? point.value)));
    const x = (point) => LEFT + (width - LEFT) * (1 - point.age / WINDOW_SECONDS);
    const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
    const parts = axis(width, top, y);
    for (const run of runs(this.points)) {
      if (run[0].high !== undefined) parts.push(band(run, x, y));
      parts.push(element("path", { class: "line", d: path(run.map((point) => [x(point), y(point.value)])) }));
    }
    const shown = this.hoverX === null ? known.at(-1) : nearest(known, x, this.hoverX);
    if (shown && this.hoverX !== null) {
      parts.push(element("line", { class: "hover", x1: x(shown), x2: x(shown), y1: TOP, y2: HEIGHT - BOTTOM }));
    }
    if (shown) parts.push(element("circle", { class: "spot", cx: x(shown), cy: y(shown.value), r: 2.75 }));
    const reading = shown ? this.describe(shown) : "nothing yet";
    this.output.textContent = this.hoverX === null || !shown ? reading : `${ago(shown.age)}: ${reading}`;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.svg.setAttribute("aria-label", `${this.label}, last five minutes; now ${reading}`);
    this.svg.replaceChildren(...parts);
  }
}

function axis(width, top, y) {
  const parts = [];
  for (const value of [0, top / 2, top]) {
    parts.push(element("line", { class: "grid", x1: LEFT, x2: width, y1: y(value), y2: y(value) }));
    parts.push(text(LEFT - 5, y(value) + 3.5, "end", Number(value.toPrecision(3)).toString()));
  }
  parts.push(text(LEFT, HEIGHT - 1, "start", "5 min ago"), text(width, HEIGHT - 1, "end", "now"));
  return parts;
}

function band(run, x, y) {
  const upper = run.map((point) => [x(point), y(point.high)]);
  const lower = run.map((point) => [x(point), y(point.value)]).reverse();
  return element("path", { class: "band", d: `${path([...upper, ...lower])}Z` });
}

/** Stretches without a gap: a camera that was away leaves one. */
function runs(points) {
  const found = [[]];
  for (const point of points) {
    if (point.value === null) found.push([]);
    else found.at(-1).push(point);
  }
  return found.filter((run) => run.length);
}

function path(corners) {
  const points = corners.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`);
  // A single point would be invisible as a line without length.
  return points.length === 1 ? `M${points[0]}h0.01` : `M${points.join("L")}`;
}

function nearest(points, x, at) {
  return points.reduce((best, point) => (!best || Math.abs(x(point) - at) < Math.abs(x(best) - at) ? point : best), null);
}

/** The smallest round number that is not below the value, and whose half is round as well. */
function niceTop(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 6, 8, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

function ago(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  return whole < 60 ? `${whole} s ago` : `${Math.floor(whole / 60)} min ${whole % 60} s ago`;
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function text(x, y, anchor, content) {
  const made = element("text", { x, y, "text-anchor": anchor });
  made.textContent = content;
  return made;
}
