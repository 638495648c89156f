// Credentials that are more than a header: a signature over the call, or a token that is fetched first. They stay on this
// side, as all secrets do. Nothing here decides when a credential is used.

const encoder = new TextEncoder();
const SIGNED_AT_LEAST = ["content-type", "host"];

/** There is no credential to show. `why`: `unusable` until the operator mends it, `late`, or `failed`, which may pass. */
export class NoCredential extends Error {
  constructor(why, message) {
    super(message);
    this.why = why;
  }
}

const unusable = (message) => new NoCredential("unusable", message);

/**
 * What a call needs to be let in: headers to set, and texts that must not be seen in what comes back. `refused`, where there
 * is one, is told that the provider did not take it, and says whether another may be had. Throws `NoCredential`, which names
 * neither secret nor token.
 *
 * @param {string[]} scheme its name, and what belongs to it
 * @param {string} secret the Worker secret's text
 * @param {{ method?: string, url: string, headers: Headers, body: Uint8Array, outlive?: (work: Promise<any>) => void }} call
 *   `outlive` keeps work going that others wait for as well, when this call is over
 * @returns {Promise<{ headers: [string, string][], secrets: string[], refused?: () => boolean }>}
 */
export async function authorize([kind, ...rest], secret, call) {
  if (kind === "aws_sigv4") return awsSigV4(secret, ...rest, call);
  if (kind === "google_service_account") return googleServiceAccount(secret, ...rest, call);
  throw new Error(`there is no way of signing called ${kind}`);
}

// ── AWS Signature Version 4 ──────────────────────────────────────────────────────────────────────────────────────────
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html (read 2026-11-21)

/**
 * Bedrock's own API keys, for a long or a short time. They are shown, not signed with; nothing else is, for a key pair
 * must never leave. https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html; how they begin:
 * https://github.com/gitleaks/gitleaks, config/gitleaks.toml (both read 2026-11-21).
 */
const BEDROCK_KEY = /^(ABSK[A-Za-z0-9+/]{50,}={0,2}|bedrock-api-key-[A-Za-z0-9+/]{50,}={0,2})$/;

async function awsSigV4(secret, region, service, { method = "POST", url, headers, body }) {
  if (BEDROCK_KEY.test(secret)) return { headers: [["authorization", `Bearer ${secret}`]], secrets: [] };
  const [id, key, ...token] = secret.split(":");
  if (!id || !key || token.length > 1 || token[0] === "") {
    throw unusable("the AWS secret is not of the form ACCESS_KEY_ID:SECRET_ACCESS_KEY or ACCESS_KEY_ID:SECRET_ACCESS_KEY:SESSION_TOKEN, nor an API key of Bedrock's");
  }
  const { host } = new URL(url);
  const when = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const digest = hex(await crypto.subtle.digest("SHA-256", body));
  const set = [["x-amz-date", when], ["x-amz-content-sha256", digest], ...token.map((text) => ["x-amz-security-token", text])];
  // What the runtime may still change (the encodings it accepts) is not signed.
  const signed = [...headers].filter(([name]) => SIGNED_AT_LEAST.includes(name) || name.startsWith("x-amz-"));
  const names = set.map(([name]) => name);
  const all = [["host", host], ...signed.filter(([name]) => !names.includes(name)), ...set];
  const authorization = await signature({ method, url, headers: all, digest }, { id, key, region, service, when });
  return { headers: [...set, ["authorization", authorization]], secrets: [key, ...token] };
}

/** The `authorization` of a request all of whose `headers` are signed. */
export async function signature({ method, url, headers, digest }, { id, key, region, service, when }) {
  const { pathname, search } = new URL(url);
  const fields = headers.map(([name, value]) => [name.toLowerCase(), value.trim().replace(/ +/g, " ")]).sort(([a], [b]) => order(a, b));
  const names = fields.map(([name]) => name).join(";");
  const canonical = [method, canonicalPath(pathname), canonicalQuery(search), ...fields.map((field) => field.join(":")), "", names, digest].join("\n");
  const date = when.slice(0, 8);
  const scope = `${date}/${region}/${service}/aws4_request`;
  const toSign = ["AWS4-HMAC-SHA256", when, scope, hex(await crypto.subtle.digest("SHA-256", encoder.encode(canonical)))].join("\n");
  const signed = await hmac(await signingKey(key, date, region, service), toSign);
  return `AWS4-HMAC-SHA256 Credential=${id}/${scope}, SignedHeaders=${names}, Signature=${hex(signed)}`;
}

/** Keys are good for a day and a service. The last one is kept: four sums are saved for every call but the first. */
let lastKey = { of: "", key: null };

async function signingKey(key, date, region, service) {
  const of = [key, date, region, service].join("\n");
  if (lastKey.of === of) return lastKey.key;
  let bytes = encoder.encode(`AWS4${key}`);
  for (const text of [date, region, service, "aws4_request"]) bytes = await hmac(await hmacKey(bytes), text);
  lastKey = { of, key: await hmacKey(bytes) };
  return lastKey.key;
}

const hmacKey = (bytes) => crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
const hmac = (key, text) => crypto.subtle.sign("HMAC", key, encoder.encode(text));

// By code units, which for what is encoded (ASCII) are bytes. A comparison by locale would be another order.
const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

/** Every segment is encoded once more than it is on the wire (S3 alone has it otherwise); empty segments are left out. */
function canonicalPath(pathname) {
  const segments = pathname.split("/").filter((segment) => segment !== "");
  const end = pathname.endsWith("/") && segments.length > 0 ? "/" : "";
  return `/${segments.map(encoded).join("/")}${end}`;
}

function canonicalQuery(search) {
  const pairs = search.slice(1).split("&").filter((pair) => pair !== "");
  const split = (pair) => {
    const at = pair.indexOf("=");
    return at < 0 ? [pair, ""] : [pair.slice(0, at), pair.slice(at + 1)];
  };
  const normal = pairs.map((pair) => split(pair).map((text) => encoded(decodeURIComponent(text))));
  return normal.sort(([a, x], [b, y]) => order(a, b) || order(x, y)).map((pair) => pair.join("=")).join("&");
}

/** RFC 3986: everything but letters, digits and `-._~`. */
function encoded(text) {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

function hex(buffer) {
  return Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// ── a Google service account: a signed statement, exchanged for an access token ─────────────────────────────────────
// https://developers.google.com/identity/protocols/oauth2/service-account#httprest (read 2026-11-21)

/** @typedef {{ since: number, until: number, again: boolean, exchange: Promise<string> }} Token */
/** Tokens and exchanges under way, by secret and scope. @type {Map<string, Token>} */
const tokens = new Map();
const STATEMENT_S = 3600;
/** So long before its end a token is not used any more. */
const EARLY_MS = 60_000;
/** An exchange takes no longer; nobody joins one that should be over. */
const EXCHANGE_MS = 10_000;
/** A token that took the place of a refused one is not replaced sooner, however often it is refused. */
const REPLACED_MS = 60_000;

async function googleServiceAccount(secret, scope, { outlive }) {
  const of = `${scope}\n${secret}`;
  const now = Date.now();
  let known = tokens.get(of);
  if (known === undefined || now >= known.until) {
    if (tokens.size >= 100) tokens.clear();
    const mine = { since: now, until: now + EXCHANGE_MS, again: known?.until === 0, exchange: null };
    mine.exchange = exchanged(secret, scope).then(
      ({ token, expiresMs }) => {
        mine.until = expiresMs - EARLY_MS;
        return token;
      },
      (error) => {
        // The next request tries again.
        if (tokens.get(of) === mine) tokens.delete(of);
        throw error;
      },
    );
    // Whoever asked may be gone before the others who wait for the same.
    outlive?.(mine.exchange.catch(() => {}));
    tokens.set(of, (known = mine));
  }
  const token = await known.exchange;
  const refused = () => {
    // Another call may have seen to it.
    if (tokens.get(of) !== known) return true;
    if (known.until === 0) return true;
    if (known.again && Date.now() - known.since < REPLACED_MS) return false;
    known.until = 0;
    return true;
  };
  return { headers: [["authorization", `Bearer ${token}`]], secrets: [token], refused };
}

async function exchanged(secret, scope) {
  const account = readAccount(secret);
  const { token_uri: uri, private_key: key } = account;
  const started = Date.now();
  const assertion = await statement(account, scope, started);
  // What somebody else says will be seen: short, and without what only they and we may know.
  const plain = (text) => [secret, key, assertion].reduce((rest, hidden) => rest.replaceAll(hidden, "[redacted]"), String(text)).slice(0, 300);
  const failed = (why, said) => new NoCredential(why, `no access token from ${new URL(uri).host}: ${said}`);
  const body = new URLSearchParams({ grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion }).toString();
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  let response, answer;
  try {
    response = await fetch(uri, { method: "POST", headers, body, redirect: "manual", signal: AbortSignal.timeout(EXCHANGE_MS) });
    answer = await response.json();
  } catch (error) {
    if (Date.now() - started >= EXCHANGE_MS) throw failed("late", `not within ${EXCHANGE_MS / 1000} s`);
    throw failed("failed", response === undefined ? plain(error?.message ?? error) : `status ${response.status}, no JSON`);
  }
  const { access_token: token, expires_in: seconds } = answer ?? {};
  const { status } = response;
  // What no header may hold is no token either, and errors about headers quote them.
  if (status !== 200 || typeof token !== "string" || !/^[\x21-\x7e]+$/.test(token)) {
    const said = [answer?.error, answer?.error_description].filter((text) => typeof text === "string").join(", ");
    // 400 invalid_grant: an account that is gone, a key that was withdrawn, a clock that is wrong.
    const why = status >= 400 && status < 500 && status !== 408 && status !== 429 ? "unusable" : "failed";
    throw failed(why, `status ${status}${said === "" ? "" : `: ${plain(said)}`}`);
  }
  return { token, expiresMs: started + (Number.isFinite(seconds) ? seconds : STATEMENT_S) * 1000 };
}

function readAccount(secret) {
  let account;
  try {
    account = JSON.parse(secret);
  } catch {
    // What the parser says quotes the text.
  }
  const missing = ["client_email", "private_key", "token_uri"].filter((name) => typeof account?.[name] !== "string");
  if (missing.length > 0) throw unusable(`the Google secret is not a service account's key file in JSON: ${missing.join(", ")} missing`);
  const uri = URL.canParse(account.token_uri) ? new URL(account.token_uri) : null;
  const loopback = uri !== null && ["127.0.0.1", "localhost", "[::1]"].includes(uri.hostname);
  if (uri === null || !(uri.protocol === "https:" || (uri.protocol === "http:" && loopback))) {
    throw unusable("the Google service account's token_uri is not an https URL");
  }
  return account;
}

/** Signed with the account's key: who asks, for what, for how long. */
async function statement({ client_email: email, private_key: pem, private_key_id: kid, token_uri: uri }, scope, now) {
  const issued = Math.floor(now / 1000);
  const header = { alg: "RS256", typ: "JWT", ...(kid === undefined ? {} : { kid }) };
  const claims = { iss: email, scope, aud: uri, iat: issued, exp: issued + STATEMENT_S };
  const text = [header, claims].map((part) => base64url(encoder.encode(JSON.stringify(part)))).join(".");
  let key;
  try {
    const der = Uint8Array.from(atob(pem.replace(/-----[A-Z ]+-----|\s/g, "")), (c) => c.charCodeAt(0));
    key = await crypto.subtle.importKey("pkcs8", der, { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }, false, ["sign"]);
  } catch {
    throw unusable("the Google service account's private_key is not a PKCS #8 RSA key in PEM");
  }
  return `${text}.${base64url(new Uint8Array(await crypto.subtle.sign("RSASSA-PKCS1-v1_5", key, encoder.encode(text))))}`;
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}
