// `observer replay`, `import`, `demo`: work on recordings, done by what the composition root gave.

import { resolve } from "node:path";
import { printable } from "../../core/text.ts";
import { CLIENT_FLAGS, JSON_FLAG } from "../flags.ts";
import { printJson, printTable } from "../output.ts";
import { count } from "../show.ts";
import type { Verb } from "../verb.ts";
import { interruptionColumns } from "./interruptions.ts";

export const replayVerb: Verb = {
  name: "replay",
  group: "Work on files",
  summary: "run a recording through the detectors, reactions off",
  args: [{ name: "FILE", required: true, completes: "files" }],
  flags: [JSON_FLAG],
  examples: ["observer replay ops.jsonl", "observer replay session.ndjson --json"],
  async run(call) {
    const file = resolve(call.io.cwd, call.args[0] ?? "");
    const report = await call.local.replay(file);
    const { events, interruptions } = report;
    if (call.flags.on("json")) return printJson(call, { events, interruptions });
    const columns = interruptionColumns(call.io.clock.now());
    printTable(call, interruptions, { columns, empty: "The detectors saw no trouble." });
    call.io.stderr(`${count(events, "event")}, ${count(interruptions.length, "interruption")}\n`);
    return 0;
  },
};

/** Refused lines that are printed; the rest is counted. */
const REJECTED_SHOWN = 10;

export const importVerb: Verb = {
  name: "import",
  group: "Work on files",
  summary: "take recordings in: ops.jsonl, transcripts, hook recordings",
  about:
    "The format is recognised from the content. Nothing is alerted or checkpointed for the past.",
  args: [{ name: "FILE", required: true, many: true, completes: "files" }],
  flags: [JSON_FLAG, ...CLIENT_FLAGS],
  examples: ["observer import ops.jsonl", "observer import ~/.claude/projects/*/*.jsonl"],
  async run(call) {
    const paths = call.args.map((path) => resolve(call.io.cwd, path));
    const report = await call.local.importFile(paths, call.client());
    const { files, accepted, duplicates, rejected } = report;
    const failed = accepted === 0 && duplicates === 0 && rejected.length > 0;
    for (const { file, index, error } of rejected.slice(0, REJECTED_SHOWN)) {
      call.io.stderr(`${printable(file)}:${index + 1}: ${printable(error)}\n`);
    }
    if (rejected.length > REJECTED_SHOWN) {
      call.io.stderr(`and ${rejected.length - REJECTED_SHOWN} more\n`);
    }
    if (call.flags.on("json")) printJson(call, report);
    else {
      call.io.stdout(
        `${count(files, "file")}: ${count(accepted, "event")} taken in, ` +
          `${duplicates} known already, ${rejected.length} refused\n`,
      );
    }
    return failed ? 1 : 0;
  },
};

export const demoVerb: Verb = {
  name: "demo",
  group: "Run",
  summary: "play a recorded incident: loop, checkpoint, damage, restore",
  about: "Works in a throw-away workspace, for any user, and changes nothing else.",
  flags: [{ name: "keep", help: "Keep the workspace and the observer of the demo running." }],
  examples: ["observer demo", "observer demo --keep"],
  run: (call) => call.local.demo({ keep: call.flags.on("keep") }, call.io),
};
