"use strict";
// The token of a link stands in the fragment: it is read, taken out of the address bar, and sent in the body only.
(function () {
  const form = document.querySelector("form[data-done]");
  const message = document.getElementById("message"), next = document.getElementById("next");
  const token = window.location.hash.slice(1);
  if (token) {
    window.history.replaceState(null, "", window.location.pathname);
  }
  function say(text, failed) {
    message.textContent = text;
    message.className = failed ? "problem" : "good";
    message.focus();
  }
  function problem(body) {
    const fields = (body.errors || []).map(function (each) {
      return each.field.replace(/^\//, "").replace("_", " ") + " " + each.message;
    });
    return [body.detail || "This did not work."].concat(fields).join(" ");
  }
  async function send() {
    const values = {};
    new FormData(form).forEach(function (value, name) {
      if (value !== "") {
        values[name] = value;
      }
    });
    if (form.hasAttribute("data-token")) {
      values.token = token;
    }
    const answer = await fetch(form.getAttribute("action"), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      credentials: "omit",
      body: JSON.stringify(values),
    });
    if (answer.ok) {
      form.hidden = true;
      say(form.getAttribute("data-done"), false);
      if (next) {
        next.hidden = false;
      }
    } else {
      say(problem(await answer.json().catch(function () { return {}; })), true);
    }
  }
  if (form.hasAttribute("data-token") && !token) {
    form.hidden = true;
    say("Open the link from the mail; this address lacks its last part.", true);
  }
  // an invitation can be accepted by the organisation's own login as well
  async function ask(path, values) {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      credentials: "same-origin",
      body: JSON.stringify(Object.assign({ token: token }, values)),
    });
    const body = await answer.json();
    if (!answer.ok) {
      throw new Error(problem(body));
    }
    return body;
  }
  function offer(provider) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "other";
    button.textContent = "Join with " + provider.name;
    button.addEventListener("click", function () {
      const name = form.elements.namedItem("name");
      if (!name.reportValidity()) {
        return;
      }
      ask("/v1/invitations/accept/upstream", { provider: provider.id, name: name.value })
        .then(function (way) { window.location.assign(way.location); })
        .catch(function (error) { say(error.message, true); });
    });
    form.appendChild(button);
  }
  if (token && form.getAttribute("action") === "/v1/invitations/accept") {
    ask("/v1/invitations/providers", {})
      .then(function (found) { found.items.forEach(offer); })
      .catch(function () { /* the form itself says what is wrong with the link */ });
  }
  form.addEventListener("submit", function (event) {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    send()
      .catch(function () { say("Regent does not answer; try again.", true); })
      .finally(function () { button.disabled = false; });
  });
})();
