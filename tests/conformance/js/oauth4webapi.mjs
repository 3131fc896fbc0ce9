// oauth4webapi against the running stack: each message by itself, strictly read.

import * as oauth from "oauth4webapi";
import { assert, Browser, check, EC, given, privateKey, refused, run } from "./harness.mjs";

const browser = new Browser();
const API = new URL(given.api, given.issuer);
const INSECURE = { [oauth.allowInsecureRequests]: true };
const SCOPE = "openid offline_access report:read";
let as;

const named = (which) => ({ client_id: given.clients[which].id });
const secret = (which) => oauth.ClientSecretBasic(given.clients[which].secret);

check("discovery, both documents", async () => {
  const issuer = new URL(given.issuer);
  for (const algorithm of ["oauth2", "oidc"]) {
    const answer = await oauth.discoveryRequest(issuer, { algorithm, ...INSECURE });
    as = await oauth.processDiscoveryResponse(issuer, answer);
  }
  assert.equal(as.authorization_response_iss_parameter_supported, true);
});

async function query(which, more = {}) {
  const verifier = oauth.generateRandomCodeVerifier();
  const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()];
  const parameters = new URLSearchParams({
    client_id: given.clients[which].id,
    redirect_uri: given.callback,
    response_type: "code",
    scope: SCOPE,
    state,
    nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    ...more,
  });
  return { parameters, verifier, state, nonce };
}

async function code(which, more) {
  const asked = await query(which, more);
  const location = await browser.go(`${as.authorization_endpoint}?${asked.parameters}`);
  return { ...asked, callback: oauth.validateAuthResponse(as, named(which), location, asked.state) };
}

async function exchange(which, authentication, asked, options = {}) {
  const answer = await oauth.authorizationCodeGrantRequest(
    as, named(which), authentication, asked.callback, given.callback, asked.verifier, { ...INSECURE, ...options });
  const checks = { expectedNonce: asked.nonce, requireIdToken: true };
  const tokens = await oauth.processAuthorizationCodeResponse(as, named(which), answer, checks);
  await oauth.validateApplicationLevelSignature(as, answer, INSECURE);
  return tokens;
}

const validated = (request) => oauth.validateJwtAccessToken(as, request, given.audience, INSECURE);
const bearer = (token) => new Request(API, { headers: { authorization: `Bearer ${token}` } });

check("code, ID token with its signature, iss in the answer", async () => {
  const tokens = await exchange("web", secret("web"), await code("web"));
  assert.equal(oauth.getValidatedIdTokenClaims(tokens).sub, given.subject);
});

check("an access token is valid by RFC 9068", async () => {
  const tokens = await exchange("web", secret("web"), await code("web"));
  const claims = await validated(bearer(tokens.access_token));
  assert.equal(claims.sub, given.subject);
  assert.equal(claims.client_id, given.clients.web.id);
  assert.ok(claims.exp - claims.iat <= 300);
});

check("a client's own access token is valid by RFC 9068", async () => {
  const answer = await oauth.clientCredentialsGrantRequest(
    as, named("machine"), secret("machine"), { scope: "report:read" }, INSECURE);
  const tokens = await oauth.processClientCredentialsResponse(as, named("machine"), answer);
  assert.equal((await validated(bearer(tokens.access_token))).client_id, given.clients.machine.id);
});

check("an ID token is no access token", async () => {
  const tokens = await exchange("web", secret("web"), await code("web"));
  await assert.rejects(validated(bearer(tokens.id_token)));
});

check("DPoP: a bound access token is valid by RFC 9068 and RFC 9449", async () => {
  const pair = await oauth.generateKeyPair("ES256");
  const DPoP = oauth.DPoP(named("bound"), pair);
  const tokens = await exchange("bound", secret("bound"), await code("bound"), { DPoP });
  assert.equal(tokens.token_type, "dpop");
  let seen;
  const capture = (url, options) => {
    seen = new Request(url, { method: options.method, headers: options.headers });
    return fetch(url, options);
  };
  const answer = await oauth.protectedResourceRequest(tokens.access_token, "GET", API, undefined, undefined, {
    DPoP, [oauth.customFetch]: capture, ...INSECURE });
  assert.equal(answer.status, 200);
  assert.ok((await validated(seen)).cnf.jkt);
});

for (const algorithm of ["ES256", "PS256", "RS256", "Ed25519"]) {
  check(`DPoP: keys of ${algorithm}`, async () => {
    assert.ok(as.dpop_signing_alg_values_supported.includes(algorithm));
    const DPoP = oauth.DPoP(named("bound"), await oauth.generateKeyPair(algorithm));
    const tokens = await exchange("bound", secret("bound"), await code("bound"), { DPoP });
    const answer = await oauth.protectedResourceRequest(
      tokens.access_token, "GET", API, undefined, undefined, { DPoP, ...INSECURE });
    assert.equal(answer.status, 200);
  });
}

check("private_key_jwt at the token endpoint, PAR, introspection and revocation", async () => {
  const authentication = oauth.PrivateKeyJwt(await privateKey(given.clients.ES256.key, EC));
  const asked = await query("ES256");
  const pushed = await oauth.processPushedAuthorizationResponse(as, named("ES256"),
    await oauth.pushedAuthorizationRequest(as, named("ES256"), authentication, asked.parameters, INSECURE));
  const url = new URLSearchParams({ client_id: given.clients.ES256.id, request_uri: pushed.request_uri });
  const location = await browser.go(`${as.authorization_endpoint}?${url}`);
  const callback = oauth.validateAuthResponse(as, named("ES256"), location, asked.state);
  const tokens = await exchange("ES256", authentication, { ...asked, callback });
  const ask = async () => oauth.processIntrospectionResponse(as, named("ES256"),
    await oauth.introspectionRequest(as, named("ES256"), authentication, tokens.refresh_token, INSECURE));
  assert.equal((await ask()).active, true);
  await oauth.processRevocationResponse(
    await oauth.revocationRequest(as, named("ES256"), authentication, tokens.refresh_token, INSECURE));
  assert.equal((await ask()).active, false);
});

check("refresh keeps subject and ID token rules", async () => {
  const tokens = await exchange("web", secret("web"), await code("web"));
  const answer = await oauth.refreshTokenGrantRequest(as, named("web"), secret("web"), tokens.refresh_token, INSECURE);
  const next = await oauth.processRefreshTokenResponse(as, named("web"), answer);
  assert.notEqual(next.refresh_token, tokens.refresh_token);
  const claims = oauth.getValidatedIdTokenClaims(next);
  if (claims) assert.equal(claims.sub, given.subject);
});

check("userinfo answers as OpenID Connect says", async () => {
  const tokens = await exchange("web", secret("web"), await code("web", { scope: "openid email profile" }));
  const answer = await oauth.userInfoRequest(as, named("web"), tokens.access_token, INSECURE);
  const info = await oauth.processUserInfoResponse(as, named("web"), given.subject, answer);
  assert.equal(info.email, given.email);
});

check("userinfo of another subject is noticed", async () => {
  const tokens = await exchange("web", secret("web"), await code("web"));
  const answer = await oauth.userInfoRequest(as, named("web"), tokens.access_token, INSECURE);
  await assert.rejects(oauth.processUserInfoResponse(as, named("web"), "user:somebody-else", answer));
});

check("device authorization: pending, then allowed", async () => {
  const answer = await oauth.deviceAuthorizationRequest(as, named("device"), oauth.None(), { scope: SCOPE }, INSECURE);
  const begun = await oauth.processDeviceAuthorizationResponse(as, named("device"), answer);
  const poll = async () => oauth.processDeviceCodeResponse(as, named("device"),
    await oauth.deviceCodeGrantRequest(as, named("device"), oauth.None(), begun.device_code, INSECURE));
  await refused(poll(), "authorization_pending");
  await browser.device(begun.verification_uri_complete);
  const tokens = await poll();
  assert.equal((await validated(bearer(tokens.access_token))).sub, given.subject);
  await refused(poll(), "invalid_grant");
});

check("a code is good once", async () => {
  const asked = await code("web");
  await exchange("web", secret("web"), asked);
  await refused(exchange("web", secret("web"), asked), "invalid_grant");
});

check("a wrong secret is answered by 401 and a challenge", async () => {
  const asked = await code("web");
  const answer = await oauth.authorizationCodeGrantRequest(
    as, named("web"), oauth.ClientSecretBasic("wrong"), asked.callback, given.callback, asked.verifier, INSECURE);
  assert.equal(answer.status, 401);
  assert.match(answer.headers.get("www-authenticate"), /^Basic /);
});

check("no token at a protected resource is answered by a challenge", async () => {
  await refused(
    oauth.protectedResourceRequest("nonsense", "GET", API, undefined, undefined, INSECURE),
    "OAUTH_WWW_AUTHENTICATE_CHALLENGE");
});

check("state that was not sent does not come back", async () => {
  const asked = await query("web");
  asked.parameters.delete("state");
  const location = await browser.go(`${as.authorization_endpoint}?${asked.parameters}`);
  assert.ok(oauth.validateAuthResponse(as, named("web"), location, oauth.expectNoState).get("code"));
});

await run();
