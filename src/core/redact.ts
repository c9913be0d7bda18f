// Takes secrets out of what is about to be kept. Runs on every event, so clean ones must cost next to nothing.

import { hash } from "node:crypto";

import { assignedSecrets, isSecretField, mayHoldName } from "./redact-assignments.ts";
import { AWS_SECRET, TOKEN_RULES, type TokenRule, mayHoldToken } from "./redact-rules.ts";

export interface Redactor {
  /** The text with every known secret replaced by `[redacted:<rule>:<4 hex of its SHA-256>]`. */
  text(text: string): string;
  /** A copy of the value without secrets; null when it holds none, so that the caller keeps what it has. */
  value(value: unknown): unknown;
  /** The same for serialised JSON. */
  json(serialised: string): string | null;
  /** Rises when the rules change, so that what was kept under older ones can be found. */
  readonly version: number;
}

const RULES_VERSION = 1;
/** Nesting that is walked; sources accept far less. What lies deeper is replaced, not trusted. */
const DEPTH_MAX = 256;
const TOO_DEEP = "[redacted:too-deep]";
/** How near to a key id a bare AWS secret is looked for, in UTF-16 units. */
const AWS_NEAR = 256;
/** Texts up to this length (a UUID has 36 units), and so many of them, are remembered as clean: under 1 MiB. */
const REMEMBERED_LENGTH_MAX = 64;
const REMEMBERED_MAX = 4_096;
const AWS_KEY_ID = /A[KS]IA[A-Z0-9]{16}/g;

/** The redactor has no state: the same secret gives the same marker everywhere, so that it can be followed. */
export function createRedactor(): Redactor {
  const { isClean } = createCleanCheck();
  const value = (whole: unknown): unknown => {
    if (isClean(whole)) return null;
    const clean = redactValue(whole, 0);
    return clean === whole ? null : clean;
  };
  return {
    text: (text) => (isClean(text) ? text : redactText(text)),
    value,
    json: (serialised) => redactJson(serialised, value),
    version: RULES_VERSION,
  };
}

function redactText(text: string): string {
  let clean = text;
  if (mayHoldToken(clean)) {
    clean = redactAwsPairs(clean);
    for (const rule of TOKEN_RULES) clean = applyRule(clean, rule);
  }
  return mayHoldName(clean) ? redactAssignments(clean) : clean;
}

function redactJson(serialised: string, redact: (value: unknown) => unknown): string | null {
  let value: unknown;
  try {
    value = JSON.parse(serialised);
  } catch {
    // Not JSON after all: still nothing secret may pass.
    const text = redactText(serialised);
    return text === serialised ? null : text;
  }
  const clean = redact(value);
  return clean === null ? null : JSON.stringify(clean);
}

/**
 * Says quickly that a value holds nothing that any rule could match. Names of fields and short texts come again
 * and again, so those found clean are remembered; the rest of an event is joined and searched once, because it
 * is the number of searches that costs, not the length.
 */
function createCleanCheck() {
  const remembered = new Set<string>();

  const remember = (text: string): void => {
    // What has a digit is mostly an id or a time, which does not come again.
    if (text.length > REMEMBERED_LENGTH_MAX || /\d/.test(text)) return;
    if (remembered.size >= REMEMBERED_MAX) remembered.clear();
    remembered.add(text);
  };

  /** Puts the texts that must be searched into `found`; false when the value is nested too deeply. */
  const collect = (value: unknown, depth: number, found: string[]): boolean => {
    if (typeof value === "string") {
      if (value !== "" && !remembered.has(value)) found.push(value);
      return true;
    }
    if (typeof value !== "object" || value === null) return true;
    if (depth >= DEPTH_MAX) return false;
    if (Array.isArray(value)) return value.every((item) => collect(item, depth + 1, found));
    const fields = value as Record<string, unknown>;
    for (const name in fields) {
      if (!remembered.has(name)) found.push(name);
      if (!collect(fields[name], depth + 1, found)) return false;
    }
    return true;
  };

  return {
    isClean(value: unknown): boolean {
      const found: string[] = [];
      if (!collect(value, 0, found)) return false;
      if (found.length === 0) return true;
      // A rule that matches across the seam only costs the slow way.
      const text = found.join("\n");
      if (mayHoldToken(text) || mayHoldName(text)) return false;
      for (const piece of found) remember(piece);
      return true;
    },
  };
}

/** The same value when nothing was redacted in it. */
function redactValue(value: unknown, depth: number): unknown {
  if (typeof value === "string") return redactText(value);
  if (typeof value !== "object" || value === null) return value;
  if (depth >= DEPTH_MAX) return TOO_DEEP;
  return Array.isArray(value) ? redactList(value, depth) : redactFields(value, depth);
}

function redactList(items: unknown[], depth: number): unknown[] {
  const next = items.map((item, index) => {
    const flag = items[index - 1];
    // An argument list: ["--password", "x"].
    const named = typeof flag === "string" && flag.startsWith("--") && !flag.includes("=");
    return named && !isFlag(item) ? redactField(flag, item, depth) : redactValue(item, depth + 1);
  });
  return next.some((item, index) => item !== items[index]) ? next : items;
}

function isFlag(item: unknown): boolean {
  return typeof item === "string" && item.startsWith("-");
}

function redactFields(fields: object, depth: number): object {
  const entries = Object.entries(fields);
  const named = nameOfPair(entries);
  let changed = false;
  const next = entries.map(([key, value]): [string, unknown] => {
    const name = key === "value" && named !== undefined ? named : key;
    const clean: [string, unknown] = [redactText(key), redactField(name, value, depth)];
    changed ||= clean[0] !== key || clean[1] !== value;
    return clean;
  });
  // fromEntries defines properties, so that a key "__proto__" stays data.
  return changed ? Object.fromEntries(next) : fields;
}

/** The name in `{"name": "DB_PASSWORD", "value": "…"}`, the form of environments in manifests. */
function nameOfPair(entries: [string, unknown][]): string | undefined {
  const name = entries.find(([key]) => key === "name" || key === "key")?.[1];
  return typeof name === "string" ? name : undefined;
}

function redactField(name: string, value: unknown, depth: number): unknown {
  if (typeof value === "string" || typeof value === "number") {
    // A format says more than a name, so it goes first.
    const clean = redactValue(value, depth + 1) as string | number;
    if (clean !== value && typeof clean === "string" && isOneMarker(clean)) return clean;
    return isSecretField(name, clean) ? marker("field", String(value)) : clean;
  }
  if (!Array.isArray(value)) return redactValue(value, depth + 1);
  const items: unknown[] = value;
  if (!items.some((item) => typeof item === "string" && isSecretField(name, item))) {
    return redactValue(items, depth + 1);
  }
  return items.map((item) => redactField(name, item, depth + 1));
}

function isOneMarker(text: string): boolean {
  return /^\[redacted:[a-z0-9-]+:[0-9a-f]{4}\]$/.test(text);
}

function marker(rule: string, secret: string): string {
  return `[redacted:${rule}:${hash("sha256", secret).slice(0, 4)}]`;
}

function applyRule(text: string, { name, pattern, looksRight }: TokenRule): string {
  return text.replace(pattern, (...args: unknown[]) => {
    const match = args[0] as string;
    const groups = args.at(-1);
    const inGroups = typeof groups === "object" ? (groups as Record<string, string>) : {};
    const secret = inGroups["secret"] ?? match;
    if (looksRight && !looksRight(secret)) return match;
    const at = match.lastIndexOf(secret);
    return match.slice(0, at) + marker(name, secret) + match.slice(at + secret.length);
  });
}

function redactAssignments(text: string): string {
  const found = assignedSecrets(text);
  if (found.length === 0) return text;
  let clean = "";
  let from = 0;
  for (const { start, end, rule } of found) {
    clean += text.slice(from, start) + marker(rule, text.slice(start, end));
    from = end;
  }
  return clean + text.slice(from);
}

/** Bare AWS secrets within reach of a key id, e.g. two columns of a CSV file. */
function redactAwsPairs(text: string): string {
  const ids = [...text.matchAll(AWS_KEY_ID)].map(({ index }) => index);
  if (ids.length === 0) return text;
  let next = 0;
  return text.replace(AWS_SECRET, (secret: string, index: number) => {
    while ((ids[next] ?? Infinity) < index - AWS_NEAR) next += 1;
    const near = (ids[next] ?? Infinity) <= index + AWS_NEAR;
    const random = /[A-Z]/.test(secret) && /[a-z]/.test(secret) && /\d/.test(secret);
    return near && random ? marker("aws-secret", secret) : secret;
  });
}
