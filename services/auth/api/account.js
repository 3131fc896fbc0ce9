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
  form.addEventListener("submit", function (event) {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    send()
      .catch(function () { say("Regent does not answer; try again.", true); })
      .finally(function () { button.disabled = false; });
  });
})();
