"""The one script of auth's pages: a browser solves the proof of work that is asked for after several failures."""

import base64
import hashlib
import json
from html import escape
from typing import Any

_SCRIPT = """
(async () => {
  const field = document.querySelector("input[name=challenge]"), button = field.form.querySelector("button")
  const challenge = JSON.parse(field.dataset.challenge), asked = challenge.parameters
  const bytes = text => Uint8Array.from(text.match(/../g), pair => parseInt(pair, 16))
  const nonce = bytes(asked.nonce), salt = bytes(asked.salt), password = new Uint8Array(nonce.length + 4)
  const way = { name: "PBKDF2", hash: "SHA-256", salt, iterations: asked.cost }
  password.set(nonce)
  button.disabled = true
  for (let counter = 0; !field.value; counter++) {
    new DataView(password.buffer).setUint32(nonce.length, counter)
    const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"])
    const bits = new Uint8Array(await crypto.subtle.deriveBits(way, key, asked.keyLength * 8))
    const derivedKey = Array.from(bits, byte => byte.toString(16).padStart(2, "0")).join("")
    if (derivedKey.startsWith(asked.keyPrefix))
      field.value = btoa(JSON.stringify({ challenge, solution: { counter, derivedKey } }))
  }
  button.disabled = false
})()
"""
SCRIPT_SOURCE = f"'sha256-{base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()}'"
"""What the content security policy lets run: this script and no other."""


def challenge_field(challenge: dict[str, Any] | None) -> str:
    """Return a hidden field that a browser fills with a challenge's solution, or nothing."""
    if challenge is None:
        return ""
    return f'<input type="hidden" name="challenge" value="" data-challenge="{escape(json.dumps(challenge))}">'


def solver(challenge: dict[str, Any] | None) -> str:
    """Return the script that fills the field, or nothing."""
    return f"<script>{_SCRIPT}</script>" if challenge is not None else ""
