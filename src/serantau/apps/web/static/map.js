// Draws maps from TopoJSON: states as classes of counts, those of the region with names.
// The numbers stand in the table beside each. Nothing here makes markup out of text.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const VIEWS = {
    // west, south, east, north in degrees; units a degree.
    region: { box: [90, -12, 142, 29], scale: 10, names: true },
    world: { box: [-180, -58, 180, 84], scale: 2, names: false },
  };
  const make = (name, attributes, within) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    within?.append(made);
    return made;
  };
  const place = (view) => {
    const [west, , , north] = view.box;
    return ([x, y]) => [(x - west) * view.scale, (north - y) * view.scale];
  };
  const rings = (shape) =>
    shape.type === "Polygon" ? shape.coordinates : shape.coordinates.flat();
  const drawn = (shape, at) =>
    rings(shape)
      .map((ring) => `M${ring.map((p) => at(p).map((n) => n.toFixed(1)).join(" ")).join("L")}Z`)
      .join("");
  // The middle of a state's largest part, where its name stands.
  const middle = (shape, at) => {
    let most = -1;
    let found = [0, 0];
    for (const ring of rings(shape)) {
      const xs = ring.map((p) => p[0]);
      const ys = ring.map((p) => p[1]);
      const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
      if ((x1 - x0) * (y1 - y0) > most) {
        most = (x1 - x0) * (y1 - y0);
        found = at([(x0 + x1) / 2, (y0 + y1) / 2]);
      }
    }
    return found;
  };
  const draw = (figure, atlas) => {
    const view = VIEWS[figure.dataset.map];
    const held = JSON.parse(figure.dataset.held);
    const at = place(view);
    const [west, south, east, north] = view.box;
    const size = [(east - west) * view.scale, (north - south) * view.scale];
    const label = find(figure, "figcaption").textContent;
    const svg = make("svg", { viewBox: `0 0 ${size.join(" ")}`, role: "img", "aria-label": label });
    const names = [];
    for (const state of topojson.feature(atlas, atlas.objects.countries).features) {
      const [name, many, href, step, ours] = held[state.id] ?? [state.properties.name, 0, "", 0, false];
      const said = figure.dataset.said
        .replace("{name}", name)
        .replace("{events}", many.toLocaleString(document.documentElement.lang));
      const within = many ? make("a", { href, tabindex: "-1" }, svg) : svg;
      const path = make("path", { d: drawn(state.geometry, at), "data-step": step }, within);
      make("title", {}, path).textContent = said;
      if (view.names && ours) names.push([name, many, ...middle(state.geometry, at)]);
    }
    // Names of neighbours do not stand on one another: the lower one goes down a line.
    names.sort((a, b) => a[3] - b[3]);
    const taken = [];
    for (const [name, many, x, y] of names) {
      let line = y;
      while (taken.some(([tx, ty]) => Math.abs(tx - x) < 75 && Math.abs(ty - line) < 11)) line += 11;
      taken.push([x, line]);
      const text = make("text", { x, y: line, "text-anchor": "middle", "font-size": 11 }, svg);
      text.textContent = many ? `${name} ${many.toLocaleString(document.documentElement.lang)}` : name;
    }
    find(figure, "svg")?.remove();
    figure.append(svg);
    const key = document.createElement("p");
    key.className = "small muted";
    const least = figure.dataset.least.split(" ").map((n) => Number(n).toLocaleString());
    key.textContent = [...new Set(least)].map((n) => `≥ ${n}`).join(" · ");
    find(figure, "p")?.remove();
    figure.append(key);
  };
  const find = (within, choice) => within.querySelector(choice);
  const shown = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      if (!isIntersecting) continue;
      shown.unobserve(target);
      fetch(target.dataset.atlas)
        .then((answer) => answer.json())
        .then((atlas) => draw(target, atlas))
        .catch(() => target.remove());
    }
  });
  const watch = (within) => {
    for (const figure of within.querySelectorAll("figure[data-map]")) shown.observe(figure);
  };
  document.addEventListener("DOMContentLoaded", () => watch(document));
  document.addEventListener("htmx:load", ({ detail }) => watch(detail.elt));
})();
