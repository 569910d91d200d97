// Small charts as SVG elements. Text stands around them, not in them, so that they can take any width.

import { element } from "./common.js";

const NAMESPACE = "http://www.w3.org/2000/svg";
const HEIGHT = 100;

function svgElement(name, attributes) {
  const element = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function bars(svg, series, top, count) {
  for (let at = 0; at < count; at++) {
    let floor = HEIGHT;
    for (const one of series) {
      const height = top ? one.values[at] / top * HEIGHT : 0;
      floor -= height;
      // Whatever there is can be seen.
      if (height) svg.append(svgElement("rect", { x: at + .1, y: Math.min(floor, HEIGHT - 1.5), width: .8,
        height: Math.max(height, 1.5), class: one.className }));
    }
  }
}

function lines(svg, series, top) {
  for (const one of series) {
    let path = "", drawing = false;
    one.values.forEach((value, at) => {
      if (value === null) { drawing = false; return; }
      const y = HEIGHT - (top ? value / top * HEIGHT : 0);
      // A step between two gaps is a short line of its own.
      path += drawing ? `L${at + .5} ${y}` : `M${at + .2} ${y}L${at + .5} ${y}`;
      if (one.values[at + 1] == null) path += `L${at + .8} ${y}`;
      drawing = true;
    });
    svg.append(svgElement("path", { d: path, class: one.className }));
  }
}

// A chart with its title, a total, a legend and the words for those who do not see it.
//   labels: one for each step; series: [{ name, values, className }]; show: number -> text
export function chart({ title, total, labels, series, show, kind = "bars" }) {
  const count = labels.length;
  const heights = labels.map((_, at) => kind === "bars"
    ? series.reduce((sum, one) => sum + one.values[at], 0) : Math.max(...series.map(one => one.values[at] ?? 0)));
  const top = Math.max(...heights);
  const figure = element("figure"), caption = element("figcaption", title), plot = element("div", undefined, "plot");
  caption.append(element("span", total));
  const svg = svgElement("svg", { viewBox: `0 0 ${count} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
    "aria-label": `${title} from ${labels[0]} to ${labels[count - 1]}: ${total}, at most ${show(top)} in one step` });
  (kind === "bars" ? bars : lines)(svg, series, top, count);
  labels.forEach((label, at) => {
    const hit = svgElement("rect", { x: at, y: 0, width: 1, height: HEIGHT, class: "hit" });
    const words = document.createElementNS(NAMESPACE, "title");
    words.textContent = [label, ...series.map(one =>
      `${one.name}: ${one.values[at] === null ? "–" : show(one.values[at])}`)].join("\n");
    hit.append(words);
    svg.append(hit);
  });
  plot.append(svg);
  if (top) plot.append(element("span", show(top), "top"));
  const axis = element("div", undefined, "axis");
  axis.append(element("span", labels[0]), element("span", labels[count - 1]));
  figure.append(caption, plot, axis);
  if (series.length > 1) {
    const legend = element("div", undefined, "legend");
    for (const one of series) {
      const entry = element("span"), mark = element("i", undefined, one.className);
      entry.append(mark, one.name);
      legend.append(entry);
    }
    figure.append(legend);
  }
  return figure;
}
