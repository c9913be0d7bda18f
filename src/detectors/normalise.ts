// Takes out of a text what differs from run to run without meaning anything: times, pids, addresses, temporary paths.

import { canonical } from "./canonical.ts";
import { hash53 } from "./hash.ts";

// Characters of a long result that are normalised at each end. What lies between is compared exactly: noise there
// hides a loop (silence), which is better than taking progress there for a loop (false alarm).
const NORMALISED_END_CHARS = 16 * 1024;

// Shorter roots ("/", "/tmp") would rewrite paths that are not the workspace's.
const ROOT_LENGTH_MIN = 6;

// oxlint-disable-next-line no-control-regex -- colours are escape sequences
const ANSI = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]{0,200}(?:\u0007|\u001b\\)?)/g;

const TEMP_PATH =
  /(?<![\w.-])(?:\/private)?\/(?:tmp|var\/tmp|var\/folders\/[^\s/]+\/[^\s/]+\/T|dev\/shm)\/[^\s"'`:;,()[\]{}<>]+/g;

const MONTH =
  "(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:tember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)";
const WEEKDAY = "(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6},? )?";

// Each pattern starts at a fixed text or a word boundary and repeats only over disjoint classes: linear in the text.
// Counts are never touched: "12 failed" and then "3 failed" is progress.
const NOISE: [RegExp, string][] = [
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi, "<uuid>"],
  [
    /\b\d{4}[-/]\d{2}[-/]\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2})\b)?)?/g,
    "<time>",
  ],
  [
    new RegExp(`\\b${WEEKDAY}(?:\\d{1,2} ${MONTH}|${MONTH} {1,2}\\d{1,2})(?:,? \\d{4})?\\b`, "g"),
    "<date>",
  ],
  [/\b\d{1,2}:\d{2}:\d{2}(?:[.,]\d+)?(?: ?[AP]M)?\b/gi, "<time>"],
  [/\b\d{1,2}:\d{2} ?[AP]M\b/gi, "<time>"],
  // Seconds, milliseconds, microseconds or nanoseconds since the epoch, from 2020 to 2033.
  [/\b1[6-9]\d{8}(?:\d{3}){0,3}(?:\.\d+)?\b/g, "<time>"],
  [/\b0x[0-9a-f]{6,}\b/gi, "<address>"],
  [/\b(p?pid|process id|process \[)(["']?[ :=#(]{0,3})\d+/gi, "$1$2<pid>"],
  [/\(node:\d+\)/g, "(node:<pid>)"],
  [/==\d{2,}==/g, "==<pid>=="],
  // The syslog form, `sshd[2114]:`; two digits and fewer are more likely an index.
  [/\b([a-z][\w.-]{0,40})\[\d{3,}\]:/gi, "$1[<pid>]:"],
  [
    /((?:[Dd]uration|[Ee]lapsed|[Tt]imestamp|[Ll]atency|[mac]time)[\w-]{0,20}|(?:_ms|Ms|_at|At)\b)(["']? {0,2}[:=] {0,2})\d+(?:\.\d+)?/g,
    "$1$2<time>",
  ],
  [/\b\d+m ?\d+(?:\.\d+)?s\b/g, "<duration>"],
  [
    /\b\d+(?:,\d{3})*(?:\.\d+)? ?(?:ns|[uµμ]s|ms|s|secs?|seconds?|mins?|minutes?|hrs?|hours?)\b/gi,
    "<duration>",
  ],
  // Rulers around a summary line shrink when its duration grows a digit.
  [/([=*_-])\1{3,}/g, "$1$1$1$1"],
];

/** White space collapsed to single spaces: how two spellings of one shell command are compared. */
export function collapseSpace(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}

// The first name below the temporary directory is random by custom, later ones when they hold a digit.
function normaliseTempPath(path: string): string {
  const below = path.replace(
    /^(?:\/private)?\/(?:tmp|var\/tmp|var\/folders\/[^/]+\/[^/]+\/T|dev\/shm)\//,
    "",
  );
  const [, ...rest] = below.split("/");
  return ["<tmp>", ...rest.map((name) => (/\d/.test(name) ? "<n>" : name))].join("/");
}

/** The text without colours, times, pids, durations, addresses, uuids and names of temporary files. */
export function normaliseText(text: string): string {
  let result = text.includes("\u001b") ? text.replace(ANSI, "") : text;
  result = result.replace(TEMP_PATH, normaliseTempPath);
  for (const [pattern, token] of NOISE) result = result.replace(pattern, token);
  return result;
}

/**
 * Hash of what a call brought back, by its meaning. `roots` are directories (workspace, cwd) below which
 * a path is the agent's own and stays as it is, also where the workspace lies in a temporary directory.
 */
export function resultKey(result: unknown, roots: readonly (string | undefined)[]): number {
  let text = typeof result === "string" ? result : canonical(result, "readable");
  for (const root of roots) {
    if (typeof root === "string" && root.length >= ROOT_LENGTH_MIN && text.includes(root)) {
      text = text.replaceAll(root, "<root>");
    }
  }
  if (text.length <= 2 * NORMALISED_END_CHARS) return hash53(normaliseText(text));
  const head = normaliseText(text.slice(0, NORMALISED_END_CHARS));
  const middle = hash53(text.slice(NORMALISED_END_CHARS, -NORMALISED_END_CHARS));
  const tail = normaliseText(text.slice(-NORMALISED_END_CHARS));
  return hash53(`${head}\u0000${middle}\u0000${tail}`);
}
