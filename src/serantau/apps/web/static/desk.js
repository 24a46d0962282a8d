// What a page gains with script: keys, theme, copying, dragging over a histogram, a sound.
// Every page works without. Nothing here makes markup out of text.
"use strict";
(() => {
  const root = document.documentElement;
  const find = (choice, within = document) => within.querySelector(choice);
  const all = (choice, within = document) => [...within.querySelectorAll(choice)];

  // What this browser remembers. A browser that forbids it just forgets.
  const kept = (name) => {
    try {
      return localStorage.getItem(`serantau.${name}`);
    } catch {
      return null;
    }
  };
  const keep = (name, value) => {
    try {
      localStorage.setItem(`serantau.${name}`, value);
    } catch {
      // Then it holds for this page only.
    }
  };

  // Theme and density: set before the page is drawn, since this file is not deferred.
  const wear = () => {
    const theme = kept("theme");
    if (theme) root.dataset.theme = theme;
    if (kept("density") === "dense") root.dataset.density = "dense";
    else delete root.dataset.density;
  };
  wear();
  addEventListener("storage", wear);

  const isDark = () =>
    root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
  const toggles = {
    theme: () => keep("theme", isDark() ? "light" : "dark"),
    density: () => keep("density", kept("density") === "dense" ? "" : "dense"),
    sound: () => {
      keep("sound", kept("sound") ? "" : "on");
      if (kept("sound")) chime();
    },
    notify: async () => {
      const on = !kept("notify") && (await Notification.requestPermission()) === "granted";
      keep("notify", on ? "on" : "");
    },
  };
  const showToggles = () => {
    for (const name of ["density", "sound", "notify"]) {
      for (const button of all(`[data-${name}-toggle]`)) {
        button.setAttribute("aria-pressed", String(Boolean(kept(name))));
        if (name === "notify") button.hidden = !("Notification" in window);
      }
    }
  };

  // A quiet sound of two tones, made here: no file.
  const chime = () => {
    const audio = new AudioContext();
    const loud = audio.createGain();
    loud.connect(audio.destination);
    [660, 880].forEach((pitch, place) => {
      const tone = audio.createOscillator();
      const at = audio.currentTime + place * 0.16;
      tone.frequency.value = pitch;
      tone.connect(loud);
      tone.start(at);
      tone.stop(at + 0.14);
    });
    loud.gain.setValueAtTime(0.12, audio.currentTime);
    loud.gain.exponentialRampToValueAtTime(0.001, audio.currentTime + 0.4);
    setTimeout(() => audio.close(), 1000);
  };

  // Live news: an element with data-news that htmx puts in. Its text is what is told.
  const tell = (element) => {
    if (kept("sound")) chime();
    if (kept("notify") && "Notification" in window && Notification.permission === "granted") {
      const text = element.dataset.news || element.textContent.trim().slice(0, 200);
      new Notification(document.title, { body: text, tag: element.id || "serantau" });
    }
  };
  document.addEventListener("htmx:load", ({ detail }) => {
    dress(detail.elt);
    if (detail.elt === document.body) return;
    const news = detail.elt.matches("[data-news]") ? detail.elt : find("[data-news]", detail.elt);
    if (news) tell(news);
  });

  // Parts that are of use with script only show themselves.
  const dress = (within) => {
    for (const button of all("button[data-copy], [data-looks]", within)) button.hidden = false;
    showToggles();
  };

  // A word at the edge of the page, said aloud too, and gone again.
  const say = (text) => {
    const place = document.getElementById("toasts");
    if (!place) return;
    const said = document.createElement("p");
    said.textContent = text;
    place.append(said);
    setTimeout(() => said.remove(), 4000);
  };

  // Rows of tables.
  const rows = () => all("table[data-rows] > tbody > tr").filter((row) => row.offsetParent);
  const hereRow = () => document.activeElement?.closest("table[data-rows] > tbody > tr");
  const go = (step) => {
    const every = rows();
    const place = every.indexOf(hereRow());
    const next = place < 0 ? (step > 0 ? 0 : every.length - 1) : place + step;
    every[Math.max(0, Math.min(next, every.length - 1))]?.focus();
  };
  const act = {
    j: () => go(1),
    k: () => go(-1),
    x: () => find('input[type="checkbox"]', hereRow() ?? document.createElement("i"))?.click(),
    "/": () => {
      const field = find("[data-search], main input[type=search]");
      field?.focus();
      field?.select();
    },
    "?": () => openHelp(),
  };
  const openHelp = () => {
    const help = document.getElementById("keys-help");
    if (help && !help.matches(":popover-open")) help.showPopover();
  };

  let after = "";
  let forget = 0;
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    if (event.key === "Escape" && typing) return typing.blur();
    if (typing && !["checkbox", "radio"].includes(typing.type)) return;
    if (event.key === "Enter" && event.target.matches("table[data-rows] > tbody > tr")) {
      const link = find("a[data-open], a[href]", event.target);
      if (link) {
        event.preventDefault();
        link.click();
      }
      return;
    }
    const wanted =
      after === "g"
        ? () => find(`a[data-key="${CSS.escape(event.key)}"]`)?.click()
        : Object.hasOwn(act, event.key) && act[event.key];
    clearTimeout(forget);
    after = after === "" && event.key === "g" ? "g" : "";
    forget = setTimeout(() => (after = ""), 1500);
    if (wanted) {
      event.preventDefault();
      wanted();
    }
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.copy !== undefined) {
      const said = button.textContent;
      try {
        await navigator.clipboard.writeText(button.dataset.copy);
        button.textContent = button.dataset.done;
        say(button.dataset.done);
      } catch {
        // Not over plain HTTP: mark the value, so that the reader's own keys copy it.
        getSelection().selectAllChildren(button.previousElementSibling);
        return;
      }
      setTimeout(() => (button.textContent = said), 1200);
    }
    for (const name of Object.keys(toggles)) {
      if (button.dataset[`${name}Toggle`] === undefined) continue;
      await toggles[name]();
      wear();
      showToggles();
    }
  });

  // A browser without popovers gets its dialogs opened here.
  if (!("popover" in HTMLElement.prototype)) {
    document.addEventListener("click", (event) => {
      const button = event.target.closest("button[popovertarget]");
      const dialog = button && document.getElementById(button.getAttribute("popovertarget"));
      if (dialog?.open) dialog.close();
      else dialog?.showModal();
    });
  }

  // A span of time, dragged over the bars of a histogram; its form asks for it.
  const span = (chart, one, other) => {
    const bars = all(".bar", chart);
    const [from, to] = [one, other].map((bar) => bars.indexOf(bar)).sort((a, b) => a - b);
    bars.forEach((bar, place) => bar.classList.toggle("picked", place >= from && place <= to));
    const form = document.getElementById(chart.dataset.drag);
    form.elements.from.value = bars[from].dataset.from;
    form.elements.to.value = bars[to].dataset.to;
    return form;
  };
  const barAt = (chart, event) => {
    const bars = all(".bar[data-from]", chart);
    const box = find("svg", chart).getBoundingClientRect();
    const place = Math.floor(((event.clientX - box.left) / box.width) * bars.length);
    return bars[Math.max(0, Math.min(place, bars.length - 1))];
  };
  // A bar that is a link would be dragged away itself.
  document.addEventListener("dragstart", (event) => {
    if (event.target.closest?.("[data-drag] svg")) event.preventDefault();
  });
  document.addEventListener("pointerdown", (event) => {
    const svg = event.target.closest("[data-drag] svg");
    const chart = svg?.closest("[data-drag]");
    const first = chart && barAt(chart, event);
    if (!first || event.button !== 0) return;
    event.preventDefault();
    span(chart, first, first);
    const moved = (move) => span(chart, first, barAt(chart, move));
    const done = (end) => {
      removeEventListener("pointermove", moved);
      removeEventListener("pointercancel", stop);
      span(chart, first, barAt(chart, end)).requestSubmit();
    };
    const stop = () => {
      removeEventListener("pointermove", moved);
      removeEventListener("pointerup", done);
    };
    addEventListener("pointermove", moved);
    addEventListener("pointerup", done, { once: true });
    addEventListener("pointercancel", stop, { once: true });
  });

  document.addEventListener("DOMContentLoaded", () => {
    dress(document);
    // On a phone places and tabs are strips: the one that is open is in sight.
    for (const here of all(".places [aria-current], .tabs [aria-current]")) {
      const strip = here.closest(".places, .tabs ul");
      strip.scrollLeft = here.offsetLeft - strip.offsetLeft - strip.clientWidth / 3;
    }
  });
})();
