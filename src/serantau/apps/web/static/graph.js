// Draws what is around an object, and more of it at each click. The table beneath says the
// same without script. Names come as text and are drawn on a canvas: none becomes markup.
"use strict";
(() => {
  const MOST = 300;
  const colour = (choice, name) => {
    const found = document.querySelector(choice) ?? document.body;
    return getComputedStyle(found)[name];
  };

  const begin = (button) => {
    const place = document.getElementById(button.dataset.graphFor);
    const box = place.closest("[data-graph-box]");
    const said = box.querySelector("[data-graph-said]");
    const ink = colour("body", "color");
    const link = colour("main a", "color");
    const muted = colour(".muted", "color");
    const page = colour("body", "backgroundColor");
    const first = place.dataset.source.split("/")[2];
    box.hidden = false;
    button.parentElement.hidden = true;
    const drawing = cytoscape({
      container: place,
      wheelSensitivity: 0.3,
      style: [
        {
          selector: "node",
          style: {
            label: "data(label)", color: ink, "background-color": muted,
            "font-size": 11, "font-family": getComputedStyle(document.body).fontFamily,
            "text-wrap": "wrap", "text-max-width": 120, "text-valign": "bottom",
            "text-margin-y": 4, "text-background-color": page, "text-background-opacity": 0.8,
            width: 18, height: 18,
          },
        },
        { selector: "node.open", style: { "background-color": link } },
        { selector: "node.first", style: { shape: "diamond", width: 26, height: 26 } },
        { selector: "node.away", style: { "background-opacity": 0, "border-width": 1, "border-color": muted, "border-style": "dashed" } },
        {
          selector: "edge",
          style: {
            label: "data(label)", color: muted, "font-size": 9, width: 1, "line-color": muted,
            "target-arrow-shape": "triangle", "target-arrow-color": muted,
            "curve-style": "bezier", "text-rotation": "autorotate",
            "text-background-color": page, "text-background-opacity": 0.8,
          },
        },
      ],
    });

    const expand = async (id) => {
      let told;
      try {
        const answer = await fetch(`/objects/${encodeURIComponent(id)}/graph`);
        if (!answer.ok) throw new Error(String(answer.status));
        told = await answer.json();
      } catch {
        said.textContent = button.dataset.fault;
        return;
      }
      if (told.cut) said.textContent = button.dataset.cut;
      for (const node of told.nodes) {
        if (drawing.getElementById(node.id).length || drawing.nodes().length >= MOST) continue;
        drawing.add({
          group: "nodes",
          data: { id: node.id, label: `${node.name}\n${node.type}` },
          classes: [node.held ? "" : "away", node.id === first ? "first" : ""].join(" "),
        });
      }
      for (const edge of told.edges) {
        const id = JSON.stringify([edge.source, edge.target, edge.label]);
        const ends = [edge.source, edge.target].every((end) => drawing.getElementById(end).length);
        if (ends && !drawing.getElementById(id).length) {
          drawing.add({ group: "edges", data: { id, ...edge } });
        }
      }
      drawing.getElementById(id).addClass("open");
      drawing.layout({ name: "cose", animate: false, nodeRepulsion: 12000, idealEdgeLength: 90 }).run();
      place.dataset.drawn = String(drawing.nodes().length);
    };

    drawing.on("onetap", "node", ({ target }) => {
      if (!target.hasClass("open") && !target.hasClass("away")) expand(target.id());
    });
    drawing.on("dbltap", "node", ({ target }) => {
      if (!target.hasClass("away")) location.assign(`/objects/${encodeURIComponent(target.id())}`);
    });
    expand(first);
  };

  document.addEventListener("DOMContentLoaded", () => {
    for (const box of document.querySelectorAll("[data-graph-open]")) box.hidden = false;
  });
  document.addEventListener("click", ({ target }) => {
    const button = target.closest("button[data-graph-for]");
    if (button) begin(button);
  });
})();
