// Checks a proof from a release log as docs/verify.py does, in the reader's browser: RFC 9162
// (tree), RFC 8785 (canonical JSON), RFC 7515 (signatures). Every step is shown. Nothing here
// makes markup out of text.
"use strict";
(() => {
  const place = document.getElementById("verify");
  if (!place) return;
  const words = new Map(
    [...document.getElementById("verify-words").content.querySelectorAll("[data-word]")].map(
      (each) => [each.dataset.word, each.textContent]
    )
  );
  const steps = document.getElementById("verify-steps");
  const result = document.getElementById("verify-result");
  const form = document.getElementById("verify-form");

  class Wrong extends Error {}

  // Bytes and texts.

  const bytesOf = (text) => new TextEncoder().encode(text);
  const joined = (...parts) => {
    const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  };
  const hex = (bytes) => [...bytes].map((each) => each.toString(16).padStart(2, "0")).join("");
  const fromHex = (text) => {
    if (typeof text !== "string" || !/^([0-9a-f]{2})*$/.test(text)) throw new Wrong("no hexadecimal");
    return new Uint8Array((text.match(/../g) ?? []).map((pair) => parseInt(pair, 16)));
  };
  const fromBase64 = (text) =>
    Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (each) => each.charCodeAt(0));
  const toBase64 = (bytes) =>
    btoa(Array.from(bytes, (each) => String.fromCharCode(each)).join(""))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replace(/=+$/, "");
  const sha256 = async (...parts) =>
    new Uint8Array(await crypto.subtle.digest("SHA-256", joined(...parts)));

  // Proofs hold texts and whole numbers only; one with a fraction is none.
  const read = (text) =>
    JSON.parse(text, (name, value, context) => {
      if (typeof value === "number" && (!Number.isSafeInteger(value) || /[.eE]/.test(context?.source ?? "")))
        throw new Wrong("there is a number with a fraction in it");
      return value;
    });
  const canonical = (value) => {
    if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
    if (value === null || typeof value !== "object") return JSON.stringify(value);
    // Sorted as UTF-16, which is how this language compares texts.
    const names = Object.keys(value).sort();
    return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
  };

  // One step as it is shown: what, whether it holds, and what was compared.

  const show = (word, tone, detail) => {
    const item = document.createElement("li");
    item.className = tone;
    const head = document.createElement("div");
    head.className = "log-head";
    const title = document.createElement("span");
    title.className = "log-title";
    title.textContent = words.get(word);
    const state = document.createElement("span");
    state.className = `state ${tone}`;
    state.textContent = words.get({ good: "holds", danger: "not", warning: "unable" }[tone]);
    head.append(title, state);
    item.append(head);
    if (detail) {
      const body = document.createElement("pre");
      body.className = "log-body";
      body.textContent = detail;
      item.append(body);
    }
    steps.append(item);
  };

  // RFC 9162 section 2.1.3.2: the root that a leaf and its path lead to, with each hash on the way.
  const rootFrom = async (leaf, index, size, path) => {
    if (!(index >= 0 && index < size)) throw new Wrong(`there is no leaf ${index} in a tree of ${size}`);
    let [here, last, found] = [index, size - 1, leaf];
    const way = [hex(found)];
    for (const text of path) {
      const other = fromHex(text);
      if (last === 0) throw new Wrong("a path is too long");
      if (here % 2 || here === last) {
        found = await sha256(Uint8Array.of(1), other, found);
        while (here && here % 2 === 0) [here, last] = [Math.floor(here / 2), Math.floor(last / 2)];
      } else {
        found = await sha256(Uint8Array.of(1), found, other);
      }
      way.push(`${text} → ${hex(found)}`);
      [here, last] = [Math.floor(here / 2), Math.floor(last / 2)];
    }
    if (last) throw new Wrong(`leaf ${index} is not in the tree: its path is too short`);
    return [hex(found), way.join("\n")];
  };

  // RFC 7515 section 5.2: over `header.payload`, both base64url.
  const signed = async (key, header, payload, signature) => {
    const { alg } = JSON.parse(new TextDecoder().decode(fromBase64(header)));
    if (alg !== "EdDSA" && alg !== "Ed25519") throw new Wrong("a signature is of another algorithm than Ed25519");
    const said = bytesOf(`${header}.${toBase64(payload)}`);
    if (!(await crypto.subtle.verify("Ed25519", key, fromBase64(signature), said)))
      throw new Wrong("it is not signed by this key");
  };

  // Every step is done, also behind one that does not hold; its tones decide in the end.
  const check = async (proof, keyText) => {
    const tones = new Set();
    const step = async (word, detail, work) => {
      let [tone, said] = ["good", detail];
      try {
        said = (await work()) ?? detail;
      } catch (fault) {
        const unable = fault instanceof DOMException && fault.name === "NotSupportedError";
        tone = unable ? "warning" : "danger";
        said = [fault.message, detail].filter(Boolean).join("\n");
      }
      tones.add(tone);
      show(word, tone, said);
    };
    const key = () => crypto.subtle.importKey("raw", fromBase64(keyText), "Ed25519", false, ["verify"]);

    const [header, payload, signature] = proof.head.split(".");
    const content = fromBase64(payload);
    const head = read(new TextDecoder().decode(content));
    await step("head-signed", `${head.node} ${head.log}\n${head.size} · ${head.root}`, async () =>
      signed(await key(), header, content, signature)
    );
    await step("head-node", "", async () => {
      if (head.type !== "serantau:head" || head.node !== proof.node) throw new Wrong("another node's, or no head");
    });
    for (const entry of proof.entries) {
      const text = bytesOf(entry.leaf);
      const leaf = read(entry.leaf);
      await step("leaf-canonical", entry.leaf, async () => {
        if (canonical(leaf) !== entry.leaf) throw new Wrong("it is written otherwise");
      });
      await step("leaf-included", "", async () => {
        const hashed = await sha256(Uint8Array.of(0), text);
        const [root, way] = await rootFrom(hashed, leaf.seq, head.size, entry.path);
        if (root !== head.root) throw new Wrong(`leaf ${leaf.seq} is not in the tree of the head\n${way}`);
        return way;
      });
      if (entry.recipient) {
        await step("recipient", entry.recipient, async () => {
          const found = hex(await sha256(fromHex(entry.recipient_salt), bytesOf(entry.recipient)));
          if (found !== leaf.recipient) throw new Wrong(`leaf ${leaf.seq} has another recipient`);
        });
      }
      for (const one of entry.objects) {
        await step("object", `${one.id} ${one.modified}`, async () => {
          const told = canonical({ id: one.id, modified: one.modified, sha256: one.sha256 });
          const digest = await sha256(bytesOf(told));
          const hashed = await sha256(Uint8Array.of(0), fromHex(one.salt), digest);
          const [root] = await rootFrom(hashed, one.index, entry.width, one.path);
          if (root !== leaf.objects) throw new Wrong(`it is not on the page of leaf ${leaf.seq}`);
        });
      }
    }
    const { signature: mark, ...rest } = proof;
    await step("whole", `${proof.after}–${proof.through - 1} ${proof.object}`, async () => {
      const [top, , bottom] = mark.split(".");
      await signed(await key(), top, bytesOf(canonical(rest)), bottom);
    });
    return tones;
  };

  const tell = (tone, word, more = "") => {
    const box = document.createElement("div");
    box.className = `notice ${tone}`;
    const title = document.createElement("p");
    title.className = "title";
    title.textContent = `${words.get(word)} ${more}`.trim();
    box.append(title);
    result.replaceChildren(box);
  };

  const verify = async (text) => {
    steps.replaceChildren();
    if (!globalThis.crypto?.subtle) return tell("warning", "unknown", words.get("insecure"));
    const tones = new Set();
    try {
      const told = read(text);
      const proofs = Array.isArray(told) ? told : [told];
      if (!proofs.length) throw new Wrong("empty");
      for (const proof of proofs) {
        for (const tone of await check(proof, form.elements.key.value.trim())) tones.add(tone);
      }
    } catch (fault) {
      return tell("danger", "failed", `${words.get("unread")} (${fault.message})`);
    }
    if (tones.has("danger")) tell("danger", "failed");
    else if (tones.has("warning")) tell("warning", "unknown");
    else tell("good", "proven");
  };

  const begin = async () => {
    const [file] = form.elements.proof.files;
    if (file) return verify(await file.text());
    if (!place.dataset.source) return;
    const answer = await fetch(place.dataset.source, { headers: { Accept: "application/json" } });
    if (answer.ok) return verify(await answer.text());
    const problem = await answer.json().catch(() => ({}));
    tell("warning", "unloaded", problem.detail ?? problem.title ?? String(answer.status));
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    begin();
  });
  begin();
})();
