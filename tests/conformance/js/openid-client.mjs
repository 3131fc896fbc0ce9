// openid-client against the running stack.

import * as client from "openid-client";
import { assert, Browser, check, EC, given, privateKey, refused, run } from "./harness.mjs";

const browser = new Browser();
const API = new URL(given.api, given.issuer);
const SCOPE = "openid profile email offline_access report:read";

async function configured(which, authentication, algorithm = "oidc") {
  const { id, secret } = given.clients[which];
  const options = { execute: [client.allowInsecureRequests], algorithm };
  return client.discovery(new URL(given.issuer), id, secret ?? undefined, authentication, options);
}

async function asked(more = {}, scope = SCOPE) {
  const verifier = client.randomPKCECodeVerifier();
  const checks = { pkceCodeVerifier: verifier, expectedState: client.randomState(), expectedNonce: client.randomNonce() };
  const parameters = {
    redirect_uri: given.callback,
    scope,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state: checks.expectedState,
    nonce: checks.expectedNonce,
    ...more,
  };
  return { parameters, checks };
}

async function signedIn(config, options, more) {
  const { parameters, checks } = await asked(more);
  const location = await browser.go(client.buildAuthorizationUrl(config, parameters));
  return client.authorizationCodeGrant(config, location, checks, undefined, options);
}

check("discovery by OpenID Connect's document", async () => {
  const metadata = (await configured("web")).serverMetadata();
  assert.equal(metadata.issuer, given.issuer);
  assert.equal(metadata.supportsPKCE(), true);
});

check("discovery by RFC 8414's document", async () => {
  assert.equal((await configured("web", undefined, "oauth2")).serverMetadata().issuer, given.issuer);
});

for (const [name, method] of [["basic", client.ClientSecretBasic], ["post", client.ClientSecretPost]]) {
  check(`code with PKCE, state, nonce and iss: client_secret_${name}`, async () => {
    const config = await configured("web", method(given.clients.web.secret));
    const tokens = await signedIn(config);
    const claims = tokens.claims();
    assert.equal(tokens.token_type, "bearer");
    assert.equal(claims.iss, given.issuer);
    assert.equal(claims.aud, given.clients.web.id);
    assert.equal(claims.sub, given.subject);
    assert.ok(tokens.refresh_token);
    assert.ok(tokens.expiresIn() <= 300);
  });
}

check("code of a public client on a free loopback port", async () => {
  const config = await configured("native", client.None());
  const tokens = await signedIn(config, undefined, { redirect_uri: "http://127.0.0.1:49321/cb" });
  assert.equal(tokens.claims().sub, given.subject);
});

for (const [name, algorithm] of [["ES256", EC], ["Ed25519", { name: "Ed25519" }]]) {
  check(`code by private_key_jwt: ${name}`, async () => {
    const key = await privateKey(given.clients[name].key, algorithm);
    const tokens = await signedIn(await configured(name, client.PrivateKeyJwt(key)));
    assert.equal(tokens.claims().sub, given.subject);
  });
}

check("refresh with rotation, and no second use", async () => {
  const config = await configured("web");
  const first = await signedIn(config);
  const second = await client.refreshTokenGrant(config, first.refresh_token);
  assert.notEqual(second.refresh_token, first.refresh_token);
  await refused(client.refreshTokenGrant(config, first.refresh_token), "invalid_grant");
  await refused(client.refreshTokenGrant(config, second.refresh_token), "invalid_grant");
});

check("refresh to a narrower scope", async () => {
  const config = await configured("web");
  const first = await signedIn(config);
  const second = await client.refreshTokenGrant(config, first.refresh_token, { scope: "report:read" });
  assert.equal(second.scope, "report:read");
});

check("userinfo", async () => {
  const config = await configured("web");
  const tokens = await signedIn(config);
  const info = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
  assert.equal(info.email, given.email);
  assert.equal(info.name, given.name);
});

check("a protected resource", async () => {
  const tokens = await signedIn(await configured("web"));
  const answer = await client.fetchProtectedResource(await configured("web"), tokens.access_token, API, "GET");
  assert.equal(answer.status, 200);
});

check("introspection and revocation", async () => {
  const config = await configured("web");
  const tokens = await signedIn(config);
  const shown = await client.tokenIntrospection(config, tokens.access_token);
  assert.equal(shown.active, true);
  assert.equal(shown.sub, given.subject);
  await client.tokenRevocation(config, tokens.refresh_token);
  assert.deepEqual(await client.tokenIntrospection(config, tokens.refresh_token), { active: false });
});

check("a pushed authorization request", async () => {
  const config = await configured("pushing");
  const { parameters, checks } = await asked();
  const url = await client.buildAuthorizationUrlWithPAR(config, parameters);
  assert.deepEqual([...url.searchParams.keys()].sort(), ["client_id", "request_uri"]);
  const tokens = await client.authorizationCodeGrant(config, await browser.go(url), checks);
  assert.equal(tokens.claims().sub, given.subject);
});

check("a client that has to push is refused otherwise", async () => {
  await refused(signedIn(await configured("pushing")), "invalid_request");
});

check("DPoP: bound tokens, refresh, userinfo and a protected resource", async () => {
  const config = await configured("bound");
  const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair());
  const tokens = await signedIn(config, { DPoP });
  assert.equal(tokens.token_type, "dpop");
  const next = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP });
  const info = await client.fetchUserInfo(config, next.access_token, tokens.claims().sub, { DPoP });
  assert.equal(info.sub, given.subject);
  const answer = await client.fetchProtectedResource(config, next.access_token, API, "GET", undefined, undefined, { DPoP });
  assert.equal(answer.status, 200);
});

check("DPoP: a pushed request binds the code to the key", async () => {
  const config = await configured("bound");
  const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair());
  const other = client.getDPoPHandle(config, await client.randomDPoPKeyPair());
  const { parameters, checks } = await asked();
  const location = await browser.go(await client.buildAuthorizationUrlWithPAR(config, parameters, { DPoP }));
  await refused(client.authorizationCodeGrant(config, location, checks, undefined, { DPoP: other }), "invalid_grant");
});

check("DPoP: a public client's refresh token is bound to the key", async () => {
  const config = await configured("boundNative", client.None());
  const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair());
  const other = client.getDPoPHandle(config, await client.randomDPoPKeyPair());
  const tokens = await signedIn(config, { DPoP });
  await refused(client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP: other }), "invalid_grant");
});

check("DPoP: a bound token as Bearer is refused", async () => {
  const config = await configured("bound");
  const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair());
  const { access_token } = await signedIn(config, { DPoP });
  await refused(client.fetchProtectedResource(config, access_token, API, "GET"), "OAUTH_WWW_AUTHENTICATE_CHALLENGE");
});

check("DPoP: a client that has to use nonces is told them", async () => {
  const config = await configured("nonced");
  const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair());
  const tokens = await signedIn(config, { DPoP });
  const next = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP });
  assert.equal(next.token_type, "dpop");
  const fresh = client.getDPoPHandle(config, await client.randomDPoPKeyPair());
  const other = await signedIn(config, { DPoP: fresh });
  for (let time = 0; time < 2; time += 1) {
    const answer = await client.fetchProtectedResource(config, other.access_token, API, "GET", undefined, undefined, { DPoP: fresh });
    assert.equal(answer.status, 200);
  }
});

check("an ID token by RS256", async () => {
  const { id, secret } = given.clients.old;
  const options = { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks] };
  const metadata = { client_secret: secret, id_token_signed_response_alg: "RS256" };
  const config = await client.discovery(new URL(given.issuer), id, metadata, undefined, options);
  assert.equal((await signedIn(config)).claims().sub, given.subject);
});

check("a resource indicator (RFC 8707)", async () => {
  const config = await configured("web");
  const { parameters, checks } = await asked({ resource: API.href });
  const location = await browser.go(client.buildAuthorizationUrl(config, parameters));
  const tokens = await client.authorizationCodeGrant(config, location, checks);
  const claims = JSON.parse(Buffer.from(tokens.access_token.split(".")[1], "base64url"));
  assert.deepEqual([claims.aud].flat(), [API.href]);
  assert.equal((await client.fetchProtectedResource(config, tokens.access_token, API, "GET")).status, 200);
  const elsewhere = new URL("/v1/clients", given.issuer);
  await refused(client.fetchProtectedResource(config, tokens.access_token, elsewhere, "GET"), "OAUTH_WWW_AUTHENTICATE_CHALLENGE");
});

check("logging out on the client's wish", async () => {
  const config = await configured("web");
  const tokens = await signedIn(config);
  const url = client.buildEndSessionUrl(config, { id_token_hint: tokens.id_token });
  assert.equal((await new Browser().send(url)).status, 200);
});

check("client credentials", async () => {
  const tokens = await client.clientCredentialsGrant(await configured("machine"), { scope: "report:read" });
  assert.equal(tokens.scope, "report:read");
  assert.equal(tokens.refresh_token, undefined);
});

check("device authorization, allowed", async () => {
  const config = await configured("device", client.None());
  const begun = await client.initiateDeviceAuthorization(config, { scope: SCOPE });
  await browser.device(begun.verification_uri_complete);
  const tokens = await client.pollDeviceAuthorizationGrant(config, { ...begun, interval: 0.1 });
  assert.equal(tokens.claims().sub, given.subject);
});

check("device authorization, denied", async () => {
  const config = await configured("device", client.None());
  const begun = await client.initiateDeviceAuthorization(config, { scope: SCOPE });
  await browser.device(begun.verification_uri_complete, "deny");
  await refused(client.pollDeviceAuthorizationGrant(config, { ...begun, interval: 0.1 }), "access_denied");
});

check("a denied consent is told to the client", async () => {
  const config = await configured("native", client.None());
  const { parameters, checks } = await asked({ redirect_uri: "http://127.0.0.1:49321/cb" });
  const location = await browser.go(client.buildAuthorizationUrl(config, parameters), "deny");
  await refused(client.authorizationCodeGrant(config, location, checks), "access_denied");
});

check("prompt=none with a session and consent given", async () => {
  const config = await configured("web");
  await signedIn(config);
  assert.equal((await signedIn(config, undefined, { prompt: "none" })).claims().sub, given.subject);
});

check("prompt=none without a session", async () => {
  const config = await configured("web");
  const { parameters, checks } = await asked({ prompt: "none" });
  const location = await new Browser().go(client.buildAuthorizationUrl(config, parameters));
  await refused(client.authorizationCodeGrant(config, location, checks), "login_required");
});

check("max_age and auth_time", async () => {
  const config = await configured("web");
  const { parameters, checks } = await asked({ max_age: "3600" });
  const location = await browser.go(client.buildAuthorizationUrl(config, parameters));
  const tokens = await client.authorizationCodeGrant(config, location, { ...checks, maxAge: 3600 });
  assert.equal(typeof tokens.claims().auth_time, "number");
});

check("a wrong secret", async () => {
  const config = await configured("web", client.ClientSecretBasic("wrong"));
  await refused(client.clientCredentialsGrant(config), "OAUTH_WWW_AUTHENTICATE_CHALLENGE");
});

check("a wrong verifier", async () => {
  const config = await configured("web");
  const { parameters, checks } = await asked();
  const location = await browser.go(client.buildAuthorizationUrl(config, parameters));
  const wrong = { ...checks, pkceCodeVerifier: client.randomPKCECodeVerifier() };
  await refused(client.authorizationCodeGrant(config, location, wrong), "invalid_grant");
});

check("an answer of another issuer is noticed by iss", async () => {
  const config = await configured("web");
  const { parameters, checks } = await asked();
  const location = await browser.go(client.buildAuthorizationUrl(config, parameters));
  location.searchParams.set("iss", "https://evil.example");
  await refused(client.authorizationCodeGrant(config, location, checks), "OAUTH_INVALID_RESPONSE");
});

await run();
