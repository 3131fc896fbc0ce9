// Runs named checks one after the other and prints one line of JSON for each; what is needed for them comes on stdin.

import { readFileSync } from "node:fs";
import { strict as assert } from "node:assert";

export const given = JSON.parse(readFileSync(0, "utf8"));
const checks = [];

/** Declare a check; pytest finds its name in the source. */
export function check(name, work) {
  checks.push({ name, work });
}

/** Run all checks; one that fails says why, and does not keep the others from running. */
export async function run() {
  for (const { name, work } of checks) {
    const result = { name, ok: true };
    try {
      await work();
    } catch (error) {
      const cause = error.cause ? ` <- ${JSON.stringify(error.cause) ?? error.cause}` : "";
      Object.assign(result, { ok: false, error: `${error.stack}${cause}`.slice(0, 2000) });
    }
    console.log(JSON.stringify(result));
  }
}

/** Expect a refusal with an OAuth error code. */
export async function refused(work, code) {
  await assert.rejects(work, (error) => {
    const said = error.error ?? error.cause?.error ?? error.cause?.parameters?.error ?? error.code ?? error.message;
    assert.equal(said, code, `${error.stack}`);
    return true;
  });
}

/** Somebody at a browser without scripts. */
export class Browser {
  #cookies = new Map();

  async send(url, options = {}) {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const headers = { ...options.headers, ...(cookie ? { cookie } : {}) };
    const answer = await fetch(new URL(url, given.issuer), { ...options, headers, redirect: "manual" });
    for (const line of answer.headers.getSetCookie()) {
      const [name, ...value] = line.split(";")[0].split("=");
      this.#cookies.set(name, value.join("="));
    }
    return answer;
  }

  /** Send the first form of a page, with more fields. */
  async submit(page, fields) {
    const text = (await page.text()).split("</form>")[0];
    const action = unescape(text.match(/<form method="post" action="([^"]*)"/)[1]);
    const body = new URLSearchParams();
    for (const [tag] of text.matchAll(/<input [^>]*>/g)) {
      body.set(tag.match(/name="([^"]*)"/)[1], unescape(tag.match(/value="([^"]*)"/)?.[1] ?? ""));
    }
    for (const [name, value] of Object.entries(fields)) body.set(name, value);
    return this.send(action, { method: "POST", body });
  }

  async #loggedIn(page) {
    const text = await page.clone().text();
    return text.includes('name="password"')
      ? this.submit(page, { email: given.email, password: given.password })
      : page;
  }

  /** Open an authorization request, log in where asked, decide where asked; returns where the client is told. */
  async go(url, decision = "allow") {
    let page = await this.#loggedIn(await this.send(url));
    if (page.status === 200) page = await this.submit(page, { decision });
    assert.equal(page.status, 303, `${page.status} ${page.status < 300 || page.status >= 400 ? await page.text() : ""}`);
    return new URL(page.headers.get("location"));
  }

  /** Type a device's code in and decide. */
  async device(url, decision = "allow") {
    let page = await this.#loggedIn(await this.send(url));
    if (page.status === 303) page = await this.send(page.headers.get("location"));
    page = await this.submit(page, {});
    page = await this.submit(page, { decision });
    assert.equal(page.status, 200);
  }
}

function unescape(text) {
  const names = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#x27;": "'" };
  return text.replace(/&amp;|&lt;|&gt;|&quot;|&#x27;/g, (found) => names[found]);
}

/** Import a client's private key. */
export async function privateKey(jwk, algorithm) {
  return { key: await crypto.subtle.importKey("jwk", jwk, algorithm, false, ["sign"]), kid: jwk.kid };
}

export const EC = { name: "ECDSA", namedCurve: "P-256" };
export { assert };
