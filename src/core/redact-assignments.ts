// Secrets that are known by the name before them: `password=…`, `"api_key": "…"`, `--token …`, headers.

import { PLACEHOLDER } from "./redact-rules.ts";

/** How sure a name makes us: after `strong` ones any value counts, after `token` ones only what looks random. */
type Strength = "strong" | "token" | "cookie" | "authorization";

const SEP = "[-_. ]?";
const KEY_WORDS = "api|access|secret|private|signing|encryption|master|account";
const TOKEN_WORDS = "access|refresh|auth|id|session|bearer|security";
const NAME = new RegExp(
  `(?:(?<strong>passw(?:or)?ds?|passphrase|secret${SEP}key${SEP}base|secret${SEP}access${SEP}key|(?:${KEY_WORDS})${SEP}keys?|secrets?|(?:${TOKEN_WORDS})${SEP}token|connection${SEP}string|pwd)|(?<token>token)|(?<cookie>cookie)|(?<auth>authorization))`,
  "gi",
);

const NAME_HINT =
  /passw|passphrase|secret|authorization|(?:api|access|private|signing|encryption|master|account)[-_. ]?key|connection[-_. ]?string|(?:token|cookie|pwd)(?![a-z_])/i;
// Searching for plain words is twice as fast as the expression above, which then has the last word.
const HINTS = [
  "passw",
  "passphrase",
  "secret",
  "authoriz",
  "key",
  "token",
  "cookie",
  "pwd",
  "string",
];

/** Cheap test of whether a text, raw or serialised as JSON, can have any of the names: 0.6 µs for 400 bytes. */
export function mayHoldName(text: string): boolean {
  const lower = text.toLowerCase();
  for (const hint of HINTS) if (lower.includes(hint)) return NAME_HINT.test(text);
  return false;
}

/** From the end of a name to its value. Only spaces and tabs: a value on the next line is another thing. */
const TO_VALUE = /(?:\\{0,64}["'`])?\]?[ \t]{0,8}(?<sign>=>|:=|={1,3}|:|%3[AaDd])[ \t]{0,8}/y;
/** A flag's value may follow a space: `--password x`. */
const TO_FLAG_VALUE = /[ \t]{1,4}(?!-)/y;
const OPENING = /[bfruBFRU$@]{0,2}(?<slashes>\\{0,64})(?<quote>["'`])/y;
/** Ends an unquoted value: space, quote, or the escape of one. */
const UNQUOTED = /(?:[^\s"'`\\]|\\(?![nrt"'`\\])){1,1024}/y;
const TO_LINE_END = /(?:[^\r\n"'`\\]|\\(?![nr"'`\\])){1,4096}/y;
const MARKER = /\[redacted:[a-z0-9-]{1,40}:[0-9a-f]{4}\]/y;
/** Longest value within quotes, in UTF-16 units. */
const QUOTED_MAX = 8192;
/** How far before a name its beginning or its line's beginning is looked for, in UTF-16 units. */
const BEFORE_MAX = 80;
/** How far behind a value the end of its line is looked for: escapes of escapes take room. */
const AFTER_MAX = 72;

const SCHEME =
  /^(?:basic|bearer|digest|token|apikey|negotiate|ntlm|hawk|aws4-hmac-sha256)(?:\s|%20|\+)+/i;
/** Words that stand after such names in code, types and prose, and are no secrets. */
const WORD =
  /^(?:null|none|nil|undefined|true|false|yes|no|on|off|required|optional|string|str|number|int|integer|boolean|bool|bytes|any|unknown|never|void|object|text|passw(?:or)?d|secret|token|inherit|redacted|hidden|masked|await|new|async|function|lambda|return|typeof|not|if|import|require|include|omit|self|this)[?!]?$/i;
const CALL = /^[A-Za-z_$][\w$]*(?:(?:\.|->|::|\?\.)[A-Za-z_$][\w$]*){0,16}(?:\?\.)?[([]/;
const CHAIN_ROOT =
  /^(?:self|this|process|os|env|environ|config|conf|cfg|settings|options|opts|args|argv|params|req|request|res|response|ctx|context|props|state|user|account|data|body|input|event|app|secrets|vars|var|local|module|credentials|creds|import)(?:\.|->|\?\.)[\w$.>?-]+$/i;
const IDENTIFIER = /^[A-Za-z_$][A-Za-z_$]*$/;
const NAMES_A_SECRET = /passw|passphrase|secret|token|key|pwd|cred/i;

interface Value {
  start: number;
  end: number;
  quoted: boolean;
}

/** Where in a text the values of such names are; sorted, not overlapping. */
export function assignedSecrets(text: string): { start: number; end: number; rule: string }[] {
  const found: { start: number; end: number; rule: string }[] = [];
  NAME.lastIndex = 0;
  for (let match = NAME.exec(text); match; match = NAME.exec(text)) {
    const value = valueAfter(text, match);
    if (!value) continue;
    found.push({ start: value.start, end: value.end, rule: ruleOf(match) });
    NAME.lastIndex = value.end;
  }
  return found;
}

function strengthOf({ groups }: RegExpExecArray): Strength {
  if (groups?.["token"] !== undefined) return "token";
  if (groups?.["cookie"] !== undefined) return "cookie";
  return groups?.["auth"] === undefined ? "strong" : "authorization";
}

function ruleOf(match: RegExpExecArray): string {
  const name = match[0].toLowerCase();
  if (name.startsWith("pass") || name === "pwd") return "password";
  if (name.endsWith("token")) return "token";
  if (/keys?$/.test(name)) return "key";
  return name.replace(/[^a-z]+/g, "-");
}

function valueAfter(text: string, match: RegExpExecArray): Value | null {
  const nameEnd = match.index + match[0].length;
  const before = text.slice(Math.max(0, match.index - BEFORE_MAX), match.index);
  if (isInMarker(text, match.index)) return null;
  TO_VALUE.lastIndex = nameEnd;
  const to = TO_VALUE.exec(text);
  if (!to) return flagValue(text, { before, nameEnd });
  const sign = to.groups?.["sign"] ?? "";
  const start = nameEnd + to[0].length;
  const strength = strengthOf(match);
  const opening = openingAt(text, start);
  if (opening) return quotedSecret(text, { ...opening, strength });
  // `==` compares; only a literal on its right is a secret.
  if (sign === "==" || sign === "===") return null;
  if (strength === "authorization" || strength === "cookie") {
    return headerSecret(text, { start, strength });
  }
  const style = { before, spaced: /[ \t]/.test(to[0]), sign, upper: /^[A-Z_]+$/.test(match[0]) };
  return unquotedSecret(text, { start, strength, style });
}

/** The names of rules in our own markers are not names of secrets. */
function isInMarker(text: string, index: number): boolean {
  const from = Math.max(0, index - BEFORE_MAX);
  const offset = text.slice(from, index).lastIndexOf("[redacted:");
  if (offset < 0) return false;
  MARKER.lastIndex = from + offset;
  const marker = MARKER.exec(text);
  return marker !== null && from + offset + marker[0].length > index;
}

function flagValue(
  text: string,
  { before, nameEnd }: { before: string; nameEnd: number },
): Value | null {
  if (!/(?:^|[\s"'[,])--[\w-]*$/.test(before)) return null;
  TO_FLAG_VALUE.lastIndex = nameEnd;
  const to = TO_FLAG_VALUE.exec(text);
  if (!to) return null;
  const start = nameEnd + to[0].length;
  const opening = openingAt(text, start);
  if (opening) return quotedSecret(text, { ...opening, strength: "strong" });
  const style = { before, spaced: false, sign: "=", upper: false };
  return unquotedSecret(text, { start, strength: "strong", style });
}

function openingAt(
  text: string,
  at: number,
): { slashes: number; quote: string; start: number } | null {
  OPENING.lastIndex = at;
  const opening = OPENING.exec(text);
  if (!opening?.groups) return null;
  const { slashes = "", quote = "" } = opening.groups;
  return { slashes: slashes.length, quote, start: at + opening[0].length };
}

/** The text up to the quote that closes it, at the same depth of escaping; a cut text ends at its line's end. */
function quotedSecret(
  text: string,
  at: { slashes: number; quote: string; start: number; strength: Strength },
): Value | null {
  const triple = at.quote.repeat(2);
  const start = text.startsWith(triple, at.start) ? at.start + 2 : at.start;
  const end = closing(text, { ...at, start });
  const value = text.slice(start, end);
  const scheme = SCHEME.exec(value)?.[0].length ?? 0;
  const secret = isNamedSecret(value.slice(scheme), at.strength);
  return secret ? { start: start + scheme, end, quoted: true } : null;
}

function closing(text: string, at: { slashes: number; quote: string; start: number }): number {
  const limit = Math.min(text.length, at.start + QUOTED_MAX);
  let slashes = 0;
  for (let i = at.start; i < limit; i += 1) {
    const char = text[i];
    if (char === "\\") {
      slashes += 1;
      continue;
    }
    // Deeper escaped quotes belong to the value; without escaping, an even run of slashes escapes nothing.
    const closes = at.slashes === 0 ? slashes % 2 === 0 : slashes <= at.slashes;
    if (char === at.quote && closes) return i - (at.slashes === 0 ? 0 : slashes);
    slashes = 0;
  }
  const lineEnd = text.indexOf("\n", at.start);
  return lineEnd < 0 || lineEnd > limit ? limit : lineEnd;
}

function headerSecret(text: string, at: { start: number; strength: Strength }): Value | null {
  TO_LINE_END.lastIndex = at.start;
  const value = TO_LINE_END.exec(text)?.[0].trimEnd() ?? "";
  const scheme = SCHEME.exec(value)?.[0].length ?? 0;
  const rest = value.slice(scheme);
  const looks =
    at.strength === "cookie"
      ? /^[\w.-]{1,256}=[^\s;=]{6}/.test(rest)
      : scheme > 0 || (looksRandom(rest) && !CALL.test(rest));
  if (!looks || isPlaceholder(rest)) return null;
  return { start: at.start + scheme, end: at.start + value.length, quoted: false };
}

interface Style {
  before: string;
  spaced: boolean;
  sign: string;
  upper: boolean;
}

function unquotedSecret(
  text: string,
  at: { start: number; strength: Strength; style: Style },
): Value | null {
  UNQUOTED.lastIndex = at.start;
  let run = UNQUOTED.exec(text)?.[0] ?? "";
  // In a query string the next parameter is not part of the value.
  if (/[?&][\w.-]*$/.test(at.style.before)) run = run.replace(/[&#].*$/, "");
  const value = run.replace(/[,;)\]}]+$/, "");
  const after =
    run.slice(value.length) + text.slice(at.start + run.length, at.start + run.length + AFTER_MAX);
  const strength = at.strength === "token" && at.style.upper ? "strong" : at.strength;
  if (isCode(value) || !isNamedSecret(value, strength)) return null;
  if (IDENTIFIER.test(value) && !bareWordCounts(after, at.style)) return null;
  return { start: at.start, end: at.start + value.length, quoted: false };
}

/** Whether a word without digits is a value, as in `.env`, ini and YAML files, and not code or prose. */
function bareWordCounts(after: string, { before, spaced, sign, upper }: Style): boolean {
  if (/^[,)]/.test(after)) return false;
  if (sign.startsWith("=") && !spaced) return true;
  const lineStart = /(?:^|[\n\r]|\\n)[ \t-]*[\w.-]*$/.test(before) && before.length < BEFORE_MAX;
  const lineEnd = after === "" || /^\s*?[\r\n]|^[ \t]*#|^\\+[nr]|^\\*["'`]/.test(after);
  return lineEnd && (lineStart || upper);
}

function isCode(value: string): boolean {
  if (/^[([{<|>&!]/.test(value) || CALL.test(value) || CHAIN_ROOT.test(value)) return true;
  return IDENTIFIER.test(value) && NAMES_A_SECRET.test(value);
}

/** Whether what stands after such a name is a secret, as far as the value itself can say. */
function isNamedSecret(value: string, strength: Strength): boolean {
  if (isPlaceholder(value) || WORD.test(value)) return false;
  // The working directory is called pwd, too.
  if (/^(?:\/|~\/|\.{1,2}\/|[A-Za-z]:\\)/.test(value) && !looksRandom(value.slice(1))) return false;
  return strength === "strong" || strength === "authorization" || looksRandom(value);
}

function isPlaceholder(value: string): boolean {
  return !/[\p{L}\p{N}]/u.test(value) || PLACEHOLDER.test(value);
}

/** Twelve or more characters of a token's alphabet, digits and letters among them. */
function looksRandom(value: string): boolean {
  return /^[\w\-.+=~|:%/]{12,}$/.test(value) && /\d/.test(value) && /[A-Za-z]/.test(value);
}

const STRONG_KEY = new RegExp(
  `(?:passw(?:or)?d|passphrase|passwordhash|secret|(?:${KEY_WORDS})key|secretkeybase|(?:${TOKEN_WORDS})token|connectionstring|authorization|cookie)s?$`,
);
/** Page and cursor tokens name a place in a list. */
const TOKEN_KEY =
  /(?<!page|next|continuation|sync|cancel|cancellation|max|cursor|stop|eos|bos|pad)token$/;
/** Names are few and repeat; beyond this they are not remembered. */
const KEYS_MAX = 4096;
const strengths = new Map<string, Strength | null>();

/** Whether a value under this key of an object is a secret; keys of any spelling (`apiKey`, `API-KEY`). */
export function isSecretField(key: string, value: string | number): boolean {
  let strength = strengths.get(key);
  if (strength === undefined) {
    strength = keyStrength(key);
    if (strengths.size < KEYS_MAX) strengths.set(key, strength);
  }
  if (strength === null) return false;
  return typeof value === "number" ? strength === "strong" : isNamedSecret(value, strength);
}

function keyStrength(key: string): Strength | null {
  const plain = key
    .slice(0, 256)
    .replace(/[^A-Za-z0-9]/g, "")
    .toLowerCase();
  if (STRONG_KEY.test(plain)) return "strong";
  if (!TOKEN_KEY.test(plain)) return null;
  return /^[A-Z0-9_]+$/.test(key) ? "strong" : "token";
}
