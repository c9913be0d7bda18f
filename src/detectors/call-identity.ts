// What a tool call is: which tool, on what, with which arguments, in hashes and one line to show.

import { clip } from "../core/text.ts";
import { canonical } from "./canonical.ts";
import { hash53 } from "./hash.ts";
import { collapseSpace } from "./normalise.ts";

// Long enough to know a command again, short enough for one line of a terminal.
const DISPLAY_CHARS_MAX = 80;
// What `detail.command` keeps of a command.
const COMMAND_CHARS_MAX = 500;
// A wait of a second or more is a pace, not a loop.
const WAIT_MIN_S = 1;

const SHELL_NAME = /bash|shell|terminal|exec|command/i;
// Said about a command, not part of it: agents word these anew each time.
const SHELL_REMARKS = new Set([
  "description",
  "explanation",
  "justification",
  "timeout",
  "timeout_ms",
  "yield_time_ms",
  "max_output_tokens",
  "requires_approval",
]);
const SHELL_COMMAND = new Set(["command", "cmd"]);
// The same words elsewhere are another command.
const SHELL_PLACE = new Set(["workdir", "cwd"]);
const PATH_FIELDS = ["file_path", "path", "notebook_path", "filePath", "absolute_path"] as const;
const SECONDS_PER: Record<string, number> = { "": 1, s: 1, m: 60, h: 3_600, d: 86_400 };
const SLEEP =
  /(?:^|[\s;&|(])(?:start-)?sleep\s+(?:-s\w*\s+)?(\d+(?:\.\d+)?|\.\d+)([smhd]?)(?=$|[\s;&|)])/i;
const WAIT_TOOL = /^(?:sleep|wait)$/i;

export interface CallIdentity {
  tool: string;
  /** "Read src/cart.py", "Bash npm test": one line, clipped. */
  display: string;
  /** The shell command with white space collapsed, clipped; absent for other tools. */
  command?: string;
  /** Same tool on the same target. */
  targetKey: number;
  /** Same tool with exactly the same arguments, written content included. */
  argumentsKey: number;
  /** Same command to a reader: what `retry_limit` counts by. */
  commandKey: number;
  /** The call itself says that it waits a second or more. */
  waits: boolean;
}

type Fields = Record<string, unknown>;

function fieldsOf(input: unknown): Fields | null {
  return typeof input === "object" && input !== null && !Array.isArray(input)
    ? (input as Fields)
    : null;
}

// Argument vectors are joined, and a shell that only wraps a script (`bash -lc …`) is left out.
function commandText(value: unknown): string | null {
  if (typeof value === "string") return value;
  if (!Array.isArray(value) || !value.every((part) => typeof part === "string")) return null;
  const [shell, flag, script] = value;
  const wraps = value.length === 3 && /(?:^|\/)(?:ba|z|da)?sh$/.test(shell ?? "");
  return wraps && /^-l?c$/.test(flag ?? "") && script !== undefined ? script : value.join(" ");
}

function shellCommand(tool: string, input: unknown): string | null {
  if (!SHELL_NAME.test(tool)) return null;
  const fields = fieldsOf(input);
  return commandText(fields === null ? input : (fields["command"] ?? fields["cmd"]));
}

function pathOf(input: unknown): string | null {
  const fields = fieldsOf(input);
  if (fields === null) return null;
  for (const name of PATH_FIELDS) {
    const value = fields[name];
    if (typeof value === "string" && value !== "") return value;
  }
  return null;
}

function sleeps(command: string): boolean {
  const match = SLEEP.exec(command);
  if (match === null) return false;
  const unit = SECONDS_PER[(match[2] ?? "").toLowerCase()] ?? 1;
  return Number(match[1]) * unit >= WAIT_MIN_S;
}

function relativeTo(path: string, root: string | undefined): string {
  return root !== undefined && path.startsWith(`${root}/`) ? path.slice(root.length + 1) : path;
}

// A clipped text is kept for long: joining its characters anew frees the long one that a slice would hold on to.
function clipCopy(text: string, max: number): string {
  return text.length <= max ? text : Array.from(clip(text, max)).join("");
}

function displayOf(tool: string, what: string): string {
  // White space can only shrink, so a few times the limit is enough to look at.
  const start = what === "{}" ? "" : what.slice(0, 4 * DISPLAY_CHARS_MAX);
  const line = collapseSpace(`${tool} ${start}`);
  return clipCopy(start.length < what.length ? `${line}…` : line, DISPLAY_CHARS_MAX);
}

function identifyShell(tool: string, input: unknown, command: string): CallIdentity {
  const spaceless = collapseSpace(command);
  const fields = Object.entries(fieldsOf(input) ?? {});
  const settings = fields.filter(([name]) => !SHELL_REMARKS.has(name) && !SHELL_COMMAND.has(name));
  const rest = settings.length === 0 ? "" : canonical(Object.fromEntries(settings), "exact");
  const places = settings.filter(([name]) => SHELL_PLACE.has(name));
  const directory = places.length === 0 ? "" : canonical(Object.fromEntries(places), "exact");
  const commandKey = hash53(`${tool}\u0000${directory}\u0000${spaceless}`);
  return {
    tool,
    display: displayOf(tool, spaceless),
    command: clipCopy(spaceless, COMMAND_CHARS_MAX),
    targetKey: commandKey,
    // White space inside a script or a here-document is content, so this one is exact.
    argumentsKey: hash53(`${tool}\u0000${rest}\u0000${command}`),
    commandKey,
    waits: sleeps(command),
  };
}

/** Identity of a call from its tool and input; `root` shortens paths for display only. */
export function identifyCall(tool: string, input: unknown, root?: string): CallIdentity {
  const command = shellCommand(tool, input);
  if (command !== null) return identifyShell(tool, input, command);
  const whole = canonical(input, "exact");
  const argumentsKey = hash53(`${tool}\u0000${whole}`);
  const path = pathOf(input);
  return {
    tool,
    display: displayOf(tool, path === null ? whole : relativeTo(path, root)),
    targetKey: path === null ? argumentsKey : hash53(`${tool}\u0000${path}`),
    argumentsKey,
    commandKey: argumentsKey,
    waits: WAIT_TOOL.test(tool),
  };
}
