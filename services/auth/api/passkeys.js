"use strict";
// Asks the browser's authenticator and sends its answer with the form. Forms for passkeys stay hidden without this script.
(function () {
  if (!window.PublicKeyCredential) {
    return;
  }
  function bytes(text) {
    const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
    return Uint8Array.from(plain, function (letter) { return letter.charCodeAt(0); });
  }
  function text(buffer) {
    const plain = Array.from(new Uint8Array(buffer), function (byte) { return String.fromCharCode(byte); }).join("");
    return btoa(plain).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  }
  function named(keys) {
    return (keys || []).map(function (key) { return Object.assign({}, key, { id: bytes(key.id) }); });
  }
  async function ask(form) {
    const options = JSON.parse(form.dataset.options);
    options.challenge = bytes(options.challenge);
    if (form.dataset.passkey === "create") {
      options.user.id = bytes(options.user.id);
      options.excludeCredentials = named(options.excludeCredentials);
      return navigator.credentials.create({ publicKey: options });
    }
    options.allowCredentials = named(options.allowCredentials);
    return navigator.credentials.get({ publicKey: options });
  }
  function written(made) {
    const response = {};
    ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"].forEach(function (name) {
      if (made.response[name]) {
        response[name] = text(made.response[name]);
      }
    });
    return JSON.stringify({ id: made.id, rawId: text(made.rawId), type: made.type, response: response,
      clientExtensionResults: {} });
  }
  document.querySelectorAll("[data-scripted]").forEach(function (part) { part.hidden = false; });
  document.querySelectorAll("form[data-passkey]").forEach(function (form) {
    const said = form.querySelector("[role=alert]"), button = form.querySelector("button");
    form.addEventListener("submit", function (event) {
      event.preventDefault();
      button.disabled = true;
      said.hidden = true;
      ask(form).then(function (made) {
        form.elements.namedItem("credential").value = written(made);
        form.submit();
      }).catch(function (error) {
        said.textContent = error.name === "InvalidStateError" ? "This passkey is added already."
          : "The passkey was not used. Try again, or go on another way.";
        said.hidden = false;
        button.disabled = false;
      });
    });
  });
})();
