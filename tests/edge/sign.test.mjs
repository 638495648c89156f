// Credentials that are more than a header, against Amazon's published signatures and with a key pair of our own.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import http from "node:http";
import { after, before, beforeEach, describe, it, mock } from "node:test";
import { authorize, signature } from "../../src/edge/sign.js";

const ID = "AKIDEXAMPLE";
const KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const EMPTY_DIGEST = crypto.hash("sha256", "");

describe("AWS Signature Version 4", () => {
  // awslabs/aws-c-auth, tests/aws-signing-test-suite/v4, read 2026-11-21: [name, method, path and query, further headers, digest, signature].
  const PUBLISHED = [
    ["get-vanilla", "GET", "/", [], EMPTY_DIGEST, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"],
    ["get-vanilla-query-order-key-case", "GET", "/?Param2=value2&Param1=value1", [], EMPTY_DIGEST, "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"],
    ["get-vanilla-query-unreserved", "GET", "/?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", [], EMPTY_DIGEST, "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"],
    ["get-vanilla-utf8-query", "GET", "/?ሴ=bar", [], EMPTY_DIGEST, "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"],
    ["get-slashes-normalized", "GET", "//example//", [], EMPTY_DIGEST, "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"],
    ["get-header-value-trim", "GET", "/", [["My-Header1", " value1"], ["My-Header2", ' "a   b   c"']], EMPTY_DIGEST, "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"],
    ["get-vanilla-with-session-token", "GET", "/", [["X-Amz-Security-Token", "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"]], EMPTY_DIGEST, "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"],
    [
      "post-x-www-form-urlencoded", "POST", "/",
      [["Content-Type", "application/x-www-form-urlencoded"], ["Content-Length", "13"], ["x-amz-content-sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"]],
      "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e", "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
    ],
  ];
  for (const [name, method, path, headers, digest, expected] of PUBLISHED) {
    it(`signs ${name} as published`, async () => {
      const all = [["Host", "example.amazonaws.com"], ["X-Amz-Date", "20150830T123600Z"], ...headers];
      const by = { id: ID, key: KEY, region: "us-east-1", service: "service", when: "20150830T123600Z" };
      const found = await signature({ method, url: `https://example.amazonaws.com${path}`, headers: all, digest }, by);
      const names = all.map(([header]) => header.toLowerCase()).sort().join(";");
      assert.equal(found, `AWS4-HMAC-SHA256 Credential=${ID}/20150830/us-east-1/service/aws4_request, SignedHeaders=${names}, Signature=${expected}`);
    });
  }

  // What botocore 1.43.11 (SigV4Auth) signs the same calls with: [time, URL, body, region, session token, signature].
  const BODY = '{"messages":[{"role":"user","content":[{"text":"hé"}]}]}';
  const CALLS = [
    ["2026-11-21T16:00:00Z", "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse", BODY, "us-east-1", "", "9bbbe0446c3b13426473879886e80fb44f9e45eab163759ae3e69f4d941c2c3d"],
    ["2026-11-21T23:59:59Z", "https://bedrock-runtime.eu-west-3.amazonaws.com/model/arn%3Aaws%3Abedrock%3Aeu-west-3%3A123456789012%3Ainference-profile%2Fx/converse-stream", "{}", "eu-west-3", "FwoGZXIvYXdzEXAMPLE//token==", "ea640a5fb3d92cd8904dbdf76102a221a0cab056aadd03ead4c73840d004f709"],
    ["2026-11-22T00:00:00Z", "http://127.0.0.1:8080/model/a/converse?b=2&a=1&A=0&a=0&c=%2F%20x&d", "", "us-east-1", "", "a5bdb06b2f8c751cb4481ec8652a8a7265c5ed61bb4049c181149a940e13d859"],
  ];
  // The first once more at the end: the next day's key is not taken for it.
  for (const [now, url, body, region, token, expected] of [...CALLS, CALLS[0]]) {
    it(`signs ${new URL(url).pathname} at ${now} as botocore does`, async () => {
      mock.timers.enable({ apis: ["Date"], now: new Date(now) });
      try {
        // The encodings are the runtime's to change, and an older date is replaced.
        const headers = new Headers({ "content-type": "application/json", "accept-encoding": "identity", "x-amz-date": "19700101T000000Z" });
        const secret = [ID, KEY, ...(token === "" ? [] : [token])].join(":");
        const found = await authorize(["aws_sigv4", region, "bedrock"], secret, { url, headers, body: new TextEncoder().encode(body) });
        const set = Object.fromEntries(found.headers);
        assert.equal(set["x-amz-date"], now.replace(/[-:]/g, ""));
        assert.equal(set["x-amz-content-sha256"], crypto.hash("sha256", body));
        assert.equal(set["x-amz-security-token"], token === "" ? undefined : token);
        assert.equal(set.authorization.split("Signature=")[1], expected);
        assert.deepEqual(found.secrets, token === "" ? [KEY] : [KEY, token]);
      } finally {
        mock.timers.reset();
      }
    });
  }

  for (const secret of ["AKID", "ABSKSHORT", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "AKID:", ":SECRETKEY", "AKID:SECRETKEY:", "AKID:SECRETKEY:TOKEN:MORE"]) {
    it(`says what is wrong with ${secret.length} characters that are no secret, and not what they are`, async () => {
      const call = { url: "https://a.example/", headers: new Headers(), body: new Uint8Array() };
      await assert.rejects(authorize(["aws_sigv4", "us-east-1", "bedrock"], secret, call), (error) => {
        assert.match(error.message, /ACCESS_KEY_ID:SECRET_ACCESS_KEY/);
        assert.ok(!error.message.includes(secret) && !error.message.includes("SECRETKEY:") && !error.message.includes("AKID:"), error.message);
        return true;
      });
    });
  }

  for (const key of [`ABSK${"QmVkcm9ja0FQSUtleS".repeat(6)}==`, `bedrock-api-key-${Buffer.from("bedrock.amazonaws.com/?Action=CallWithBearerToken&X-Amz-Algorithm=x&Version=1").toString("base64")}`]) {
    it(`shows an API key of Bedrock's (${key.slice(0, 4)}…) as it is`, async () => {
      const call = { url: "https://a.example/", headers: new Headers(), body: new Uint8Array() };
      assert.deepEqual(await authorize(["aws_sigv4", "us-east-1", "bedrock"], key, call), { headers: [["authorization", `Bearer ${key}`]], secrets: [] });
    });
  }

  it("knows no other scheme", () => assert.rejects(authorize(["rot13"], "s", {}), /rot13/));
});

describe("a Google service account", () => {
  const { privateKey, publicKey } = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
  const pem = privateKey.export({ type: "pkcs8", format: "pem" });
  const SCOPE = "https://www.googleapis.com/auth/cloud-platform";
  let server, uri, asked, answer;
  let number = 0;

  before(async () => {
    server = http.createServer((request, response) => {
      let body = "";
      request.on("data", (part) => { body += part; });
      request.on("end", () => {
        asked.push({ method: request.method, type: request.headers["content-type"], form: new URLSearchParams(body) });
        const { status = 200, json, text, after = 0 } = answer(asked.length, new URLSearchParams(body));
        setTimeout(() => response.writeHead(status, { "content-type": "application/json" }).end(text ?? JSON.stringify(json)), after);
      });
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    uri = `http://127.0.0.1:${server.address().port}/token`;
  });
  after(() => server.close());
  beforeEach(() => {
    asked = [];
    answer = (n) => ({ json: { access_token: `token-${n}`, expires_in: 3600, token_type: "Bearer" } });
  });

  /** A key file that no other test has used: tokens are remembered. */
  const file = (members = {}) => JSON.stringify({
    type: "service_account", client_email: `robot-${++number}@project.iam.gserviceaccount.com`, private_key: pem, private_key_id: "kid-1", token_uri: uri, ...members,
  });
  const ask = (secret, scope = SCOPE) => authorize(["google_service_account", scope], secret, { url: "https://a.example/", headers: new Headers(), body: new Uint8Array() });
  const bearer = ({ headers }) => Object.fromEntries(headers).authorization;

  it("signs who it is, for what and how long, and is given a token for it", async () => {
    const secret = file();
    const before = Math.floor(Date.now() / 1000);
    const found = await ask(secret);
    assert.deepEqual([found.headers, found.secrets], [[["authorization", "Bearer token-1"]], ["token-1"]]);
    const [{ method, type, form }] = asked;
    assert.deepEqual([method, type, form.get("grant_type")], ["POST", "application/x-www-form-urlencoded", "urn:ietf:params:oauth:grant-type:jwt-bearer"]);
    const [header, claims, signed] = form.get("assertion").split(".");
    assert.ok(crypto.verify("RSA-SHA256", Buffer.from(`${header}.${claims}`), publicKey, Buffer.from(signed, "base64url")), "the signature is the key's");
    assert.ok(!crypto.verify("RSA-SHA256", Buffer.from(`${header}.${claims}x`), publicKey, Buffer.from(signed, "base64url")));
    const read = (part) => JSON.parse(Buffer.from(part, "base64url"));
    assert.deepEqual(read(header), { alg: "RS256", typ: "JWT", kid: "kid-1" });
    const { iat, exp, ...rest } = read(claims);
    assert.deepEqual(rest, { iss: JSON.parse(secret).client_email, scope: SCOPE, aud: uri });
    assert.ok(iat >= before && iat <= before + 5 && exp === iat + 3600, `${iat} ${exp}`);
  });

  it("asks once for all who come at the same time, and not again while the token is good", async () => {
    answer = (n) => ({ json: { access_token: `token-${n}`, expires_in: 3600 }, after: 50 });
    const secret = file();
    const all = await Promise.all(Array.from({ length: 10 }, () => ask(secret)));
    assert.deepEqual(new Set([...all, await ask(secret)].map(bearer)), new Set(["Bearer token-1"]));
    assert.equal(asked.length, 1);
    // Another scope is another token.
    assert.equal(bearer(await ask(secret, "https://www.googleapis.com/auth/other")), "Bearer token-2");
    assert.equal(asked.length, 2);
  });

  it("asks again a minute before the token's end", async () => {
    const secret = file();
    mock.timers.enable({ apis: ["Date"], now: Date.now() });
    try {
      await ask(secret);
      mock.timers.tick(3_539_000);
      assert.equal(bearer(await ask(secret)), "Bearer token-1");
      mock.timers.tick(2_000);
      assert.equal(bearer(await ask(secret)), "Bearer token-2");
      assert.equal(asked.length, 2);
    } finally {
      mock.timers.reset();
    }
  });

  it("replaces a refused token once for all who have it, and the next one not within a minute", async () => {
    const secret = file();
    mock.timers.enable({ apis: ["Date"], now: Date.now() });
    try {
      const [a, b] = [await ask(secret), await ask(secret)];
      assert.ok(a.refused() && b.refused());
      const [c, d] = await Promise.all([ask(secret), ask(secret)]);
      assert.deepEqual([bearer(c), bearer(d), asked.length], ["Bearer token-2", "Bearer token-2", 2]);
      assert.ok(a.refused(), "somebody has replaced it");
      assert.ok(!c.refused());
      assert.equal(bearer(await ask(secret)), "Bearer token-2");
      mock.timers.tick(60_000);
      assert.ok(c.refused());
      assert.equal(bearer(await ask(secret)), "Bearer token-3");
    } finally {
      mock.timers.reset();
    }
  });

  it("does not wait for an exchange that should be over", async () => {
    const secret = file();
    let late;
    answer = (n) => ({ json: { access_token: `token-${n}`, expires_in: 3600 }, after: n === 1 ? 300 : 0 });
    mock.timers.enable({ apis: ["Date"], now: Date.now() });
    try {
      late = ask(secret);
      while (asked.length === 0) await new Promise((resolve) => setImmediate(resolve));
      mock.timers.tick(10_001);
      assert.equal(bearer(await ask(secret)), "Bearer token-2");
    } finally {
      mock.timers.reset();
    }
    assert.equal(bearer(await late), "Bearer token-1");
  });

  it("tells why there is no token, to everybody who waits, without key or statement, and tries again", async () => {
    const secret = file();
    answer = (n, form) => n === 1
      ? { status: 400, json: { error: "invalid_grant", error_description: `Invalid JWT: ${form.get("assertion")} ${pem} ${secret}` }, after: 20 }
      : { json: { access_token: "token" } };
    const failed = await Promise.allSettled([ask(secret), ask(secret)]);
    for (const { status, reason } of failed) {
      assert.equal(status, "rejected");
      assert.match(reason.message, /^no access token from 127\.0\.0\.1:\d+: status 400: invalid_grant, Invalid JWT: \[redacted\] \[redacted\] \[redacted\]$/);
    }
    assert.equal(asked.length, 1);
    assert.equal(bearer(await ask(secret)), "Bearer token");
  });

  it("names an answer that is no JSON, has no token, or never comes", async () => {
    answer = () => ({ status: 502, text: "<html>" });
    await assert.rejects(ask(file()), /no access token from .*: status 502, no JSON$/);
    answer = () => ({ json: { access_token: "" } });
    await assert.rejects(ask(file()), /no access token from .*: status 200$/);
    answer = () => ({ json: null });
    await assert.rejects(ask(file()), /no access token from .*: status 200$/);
    await assert.rejects(ask(file({ token_uri: "http://127.0.0.1:1/token" })), /no access token from 127\.0\.0\.1:1: /);
  });

  for (const [what, members, said] of [
    ["a token_uri that is not https", { token_uri: "http://oauth2.example.com/token" }, /token_uri is not an https URL$/],
    ["a token_uri that is no URL", { token_uri: "SECRET" }, /token_uri is not an https URL$/],
    ["a host that only begins like loopback", { token_uri: "http://127.0.0.1.example.com/" }, /token_uri is not an https URL$/],
    ["no e-mail address", { client_email: undefined }, /not a service account's key file in JSON: client_email missing$/],
    ["a key that is none", { private_key: "SECRET" }, /private_key is not a PKCS #8 RSA key in PEM$/],
    ["an elliptic key", { private_key: crypto.generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" }) }, /private_key is not/],
  ]) {
    it(`refuses ${what}`, async () => {
      await assert.rejects(ask(file(members)), (error) => said.test(error.message) && !error.message.includes("SECRET"));
      assert.equal(asked.length, 0);
    });
  }

  it("does not quote a secret that is no JSON", () => assert.rejects(ask("SECRET{"), (error) => !error.message.includes("SECRET")));
});
