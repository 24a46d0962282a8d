// Passkeys: asks the node what to ask, asks the browser, and sends its answer as a form.
"use strict";
(() => {
  if (!window.PublicKeyCredential) return;

  const bytes = (text) => {
    const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
  };
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer)))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replaceAll("=", "");
  const named = (held) => (held || []).map((each) => ({ ...each, id: bytes(each.id) }));

  const ways = {
    create: async (asked) => {
      const made = await navigator.credentials.create({
        publicKey: {
          ...asked,
          challenge: bytes(asked.challenge),
          user: { ...asked.user, id: bytes(asked.user.id) },
          excludeCredentials: named(asked.excludeCredentials),
        },
      });
      const { clientDataJSON, attestationObject } = made.response;
      return told(made, {
        clientDataJSON: text(clientDataJSON),
        attestationObject: text(attestationObject),
      });
    },
    get: async (asked) => {
      const found = await navigator.credentials.get({
        publicKey: {
          ...asked,
          challenge: bytes(asked.challenge),
          allowCredentials: named(asked.allowCredentials),
        },
      });
      const { clientDataJSON, authenticatorData, signature, userHandle } = found.response;
      return told(found, {
        clientDataJSON: text(clientDataJSON),
        authenticatorData: text(authenticatorData),
        signature: text(signature),
        userHandle: userHandle ? text(userHandle) : null,
      });
    },
  };
  const told = (credential, response) =>
    JSON.stringify({
      id: credential.id,
      rawId: text(credential.rawId),
      type: credential.type,
      authenticatorAttachment: credential.authenticatorAttachment,
      clientExtensionResults: {},
      response,
    });

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    form.hidden = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const broke = form.querySelector("[data-passkey-broke]");
      broke.hidden = true;
      try {
        const answer = await fetch(form.dataset.ask, {
          method: "POST",
          body: new URLSearchParams(new FormData(form)),
          headers: { Accept: "application/json" },
        });
        if (!answer.ok) throw new Error(answer.statusText);
        const credential = form.querySelector("[name=credential]");
        credential.value = await ways[form.dataset.passkey](await answer.json());
        form.submit();
      } catch {
        broke.hidden = false;
      }
    });
  }
})();
