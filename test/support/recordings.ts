// The recorded sessions of test/fixtures/sessions as files and as hook bodies, with what the manifest expects.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const DIRECTORY = join(import.meta.dir, "../fixtures/sessions");

interface HookBody {
  session_id: string;
  cwd: string;
  hook_event_name: string;
  [field: string]: unknown;
}

export interface Recording {
  name: string;
  /** `type` once for each row that is expected at severity medium or above, sorted. */
  expected: string[];
  /** Recorded hooks; undefined for a transcript. */
  hookFile?: string;
  /** What agent-strace stored of the session (two files where two sessions ran). */
  straceFiles: string[];
  transcript?: string;
}

/** Every recorded session. */
export function recordings(): Recording[] {
  const manifest = JSON.parse(readFileSync(join(DIRECTORY, "manifest.json"), "utf8")) as {
    dir: string;
    expect_medium_or_above: { type: string; count: number }[];
  }[];
  return manifest.map(({ dir, expect_medium_or_above }) => {
    const files = readdirSync(join(DIRECTORY, dir));
    const of = (pattern: RegExp): string[] =>
      files.filter((file) => pattern.test(file)).map((file) => join(DIRECTORY, dir, file));
    const [hookFile] = of(/^hook-input\.ndjson/);
    const [transcript] = of(/^transcript\.jsonl/);
    return {
      name: dir,
      expected: expect_medium_or_above
        .flatMap(({ type, count }) => Array<string>(count).fill(type))
        .sort(),
      straceFiles: of(/^events(-second)?\.ndjson/),
      ...(hookFile === undefined ? {} : { hookFile }),
      ...(transcript === undefined ? {} : { transcript }),
    };
  });
}

/** The hook bodies of a recording, in their order. */
export function hookBodies(name: string): HookBody[] {
  const plain = join(DIRECTORY, name, "hook-input.ndjson");
  const text = existsSync(plain)
    ? readFileSync(plain, "utf8")
    : new TextDecoder().decode(Bun.gunzipSync(readFileSync(`${plain}.gz`)));
  return text
    .trim()
    .split("\n")
    .map((line) => (JSON.parse(line) as { stdin: HookBody }).stdin);
}

const RANK = ["info", "low", "medium", "high", "critical"];

/** Types of the interruptions of severity medium or above, sorted. */
export function graveTypes(interruptions: Record<string, unknown>[]): string[] {
  return interruptions
    .filter(({ severity }) => RANK.indexOf(String(severity)) >= RANK.indexOf("medium"))
    .map(({ type }) => String(type))
    .sort();
}
