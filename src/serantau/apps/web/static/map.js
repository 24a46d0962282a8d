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
  // Where a ring goes over the day line it goes on beyond the edge, not across the map.
  const whole = (ring) => {
    let turn = 0;
    return ring.map(([x, y], n) => {
      const step = n ? x - ring[n - 1][0] : 0;
      if (step > 180) turn -= 360;
      if (step < -180) turn += 360;
      return [x + turn, y];
    });
  };
  const drawn = (shape, at) =>
    rings(shape)
      .map((ring) => `M${whole(ring).map((p) => at(p).map((n) => n.toFixed(1)).join(" ")).join("L")}Z`)
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
  const write = (svg, text, attributes) => {
    make("text", attributes, svg).textContent = text;
  };
  // From how many events on a state is how dark, in the corner.
  const key = (svg, least, [, height]) => {
    least.forEach((many, place) => {
      const y = height - 16 * (least.length - place) - 4;
      make("path", { d: `M8 ${y}h14v11h-14Z`, "data-step": place + 1 }, svg);
      write(svg, `≥ ${Number(many).toLocaleString(document.documentElement.lang)}`, {
        x: 28,
        y: y + 10,
        "font-size": 12,
      });
    });
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
      if (view.names && ours) names.push([name, ...middle(state.geometry, at)]);
    }
    // Names of neighbours do not stand on one another: the lower one goes down a line.
    names.sort((a, b) => a[2] - b[2]);
    const taken = [];
    for (const [name, x, y] of names) {
      let line = y;
      while (taken.some(([tx, ty]) => Math.abs(tx - x) < 70 && Math.abs(ty - line) < 13)) line += 13;
      taken.push([x, line]);
      write(svg, name, { x, y: line, "text-anchor": "middle", "font-size": 12 });
    }
    key(svg, figure.dataset.least.split(" "), size);
    find(figure, "svg")?.remove();
    figure.append(svg);
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
