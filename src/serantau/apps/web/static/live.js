// The line over which an open page is told of changes: says when it is broken for long.
"use strict";
(() => {
  const PATIENCE = 10000;
  let broken = 0;
  const tell = (lost) => {
    for (const notice of document.querySelectorAll("[data-live-lost]")) notice.hidden = !lost;
  };
  document.addEventListener("htmx:sseError", () => {
    broken ||= setTimeout(() => tell(true), PATIENCE);
  });
  document.addEventListener("htmx:sseOpen", () => {
    clearTimeout(broken);
    broken = 0;
    tell(false);
  });
})();
