// `observer checkpoint restore`: prints the plan, asks, and puts a workspace back.

import { resolve } from "node:path";
import { printable } from "../../core/text.ts";
import { changesOf, changeTable } from "../checkpoint-text.ts";
import { ApiError, type Json } from "../client.ts";
import { dataDirectory } from "../find-daemon.ts";
import { CLIENT_FLAGS, JSON_FLAG } from "../flags.ts";
import { checkpointId, checkpointPath, ID_ARGUMENT } from "../ids.ts";
import { printJson } from "../output.ts";
import { ago, count, duration, line, number, size, text } from "../show.ts";
import type { UsageProblem } from "../usage.ts";
import type { Call, Given, Verb } from "../verb.ts";

const OCCUPIED_HINT =
  "a shell counts too: leave the directory or end what works in it; or --freeze stops it meanwhile, --force goes on\n";

function usageProblems(call: Given): UsageProblem[] {
  const { flags } = call;
  const problems: UsageProblem[] = [];
  const inPlace = ["freeze", "force"].filter((name) => flags.on(name));
  if (flags.on("to")) {
    for (const name of [...inPlace, "dry-run"].filter((flag) => flags.on(flag))) {
      problems.push({
        field: `--${name}`,
        rule: "has no meaning with --to: the workspace stays as it is",
      });
    }
  } else if (!flags.on("yes") && !flags.on("dry-run") && !call.io.isTty) {
    problems.push({
      field: "--yes",
      rule: "is needed where nobody can be asked (no terminal); or --dry-run",
    });
  }
  return problems;
}

async function exportTo(call: Call, checkpoint: Json, directory: string): Promise<number> {
  const to = resolve(call.io.cwd, directory);
  const path = call.flags.text("path");
  const report = await call.local.exportCheckpoint({
    id: text(checkpoint, "id"),
    to,
    dataDir: dataDirectory(call.io, call.flags.text("data")),
    ...(path === undefined ? {} : { path }),
  });
  for (const warning of report.warnings) call.io.stderr(`warning: ${printable(warning)}\n`);
  if (call.flags.on("json")) return printJson(call, { ...checkpoint, export: { to, ...report } });
  call.io.stdout(
    `wrote ${count(report.files, "file")}, ${size(report.bytes)}, to ${printable(to)}\n`,
  );
  return 0;
}

function printPlan(call: Call, checkpoint: Json, plan: Json): void {
  const changes = changesOf(plan);
  const taken = ago(text(checkpoint, "created_at"), call.io.clock.now());
  const untouched = number(plan, "untouched") ?? 0;
  // The plan is data when it is all that was asked for, and talk before the deed.
  const dryRun = call.flags.on("dry-run");
  const say = (text: string): void => (dryRun ? call.io.stdout(text) : call.io.stderr(text));
  say(`${line(checkpoint, "workspace")} back to ${line(checkpoint, "id")}, taken ${taken}\n`);
  if (changes.length === 0) say("nothing to change\n");
  else say(changeTable(call, changes));
  if (untouched > 0) say(`${count(untouched, "path")} not covered by it, left as they are\n`);
  printWarnings(call, plan);
}

function printWarnings(call: Call, result: Json): void {
  for (const warning of Array.isArray(result["warnings"]) ? result["warnings"] : []) {
    call.io.stderr(`warning: ${line({ warning }, "warning")}\n`);
  }
}

async function confirmed(call: Call, changes: number, workspace: string): Promise<boolean> {
  if (call.flags.on("yes")) return true;
  const answer = await call.io.ask(`make ${count(changes, "change")} in ${workspace}? [y/N] `);
  return /^y(es)?$/i.test(answer.trim());
}

function printDone(call: Call, result: Json): void {
  const took = duration(number(result, "duration_ms"));
  call.io.stdout(`restored ${count(changesOf(result).length, "change")}${took && ` in ${took}`}\n`);
  const safety = line(result, "safety_id");
  if (safety) call.io.stderr(`to undo: observer checkpoint restore ${safety}\n`);
}

/** The checkpoint object with what the restore did (or would do) under `restore`. */
function answer(call: Call, checkpoint: Json, restore: Json): number {
  return printJson(call, { ...checkpoint, restore });
}

export const restoreVerb: Verb = {
  name: "checkpoint restore",
  group: "Save and restore",
  summary: "put a workspace back as it was",
  about:
    "Prints what will change and asks. A safety checkpoint is taken first, so that a restore can be undone. " +
    "Refuses while an agent works in the workspace, unless --freeze or --force.",
  args: [ID_ARGUMENT],
  flags: [
    { name: "path", value: "PATH", help: "Only this path, relative to the workspace." },
    { name: "to", value: "DIR", help: "Write into DIR instead; the workspace stays as it is." },
    { name: "dry-run", help: "Print the plan and stop." },
    { name: "yes", help: "Do not ask." },
    { name: "freeze", help: "Freeze agents that work there, restore, thaw." },
    { name: "force", help: "Restore under a working agent." },
    JSON_FLAG,
    ...CLIENT_FLAGS,
  ],
  examples: [
    "observer checkpoint restore latest",
    "observer checkpoint restore k3v9 --path src --dry-run",
    "observer checkpoint restore k3v9 --to /tmp/before",
  ],
  check: usageProblems,
  async run(call) {
    const client = call.client();
    const { flags } = call;
    const id = await checkpointId(call, call.args[0] ?? "");
    const checkpoint = await client.get(checkpointPath(id));
    const directory = flags.text("to");
    if (directory !== undefined) return await exportTo(call, checkpoint, directory);

    // From here on the full id, so that a new checkpoint cannot make a prefix mean another one.
    const path = checkpointPath(text(checkpoint, "id"), "/restore");
    const only = flags.text("path");
    const body = {
      ...(only === undefined ? {} : { path: only }),
      ...(flags.on("freeze") ? { freeze: true } : {}),
      ...(flags.on("force") ? { force: true } : {}),
    };
    // Standing in the workspace, this very process would be one that works in it.
    call.io.leaveDirectory();
    const plan = await client.post(path, { body: { ...body, dry_run: true }, patient: true });
    const changes = changesOf(plan).length;
    if (!flags.on("json")) printPlan(call, checkpoint, plan);
    if (flags.on("dry-run")) return flags.on("json") ? answer(call, checkpoint, plan) : 0;
    if (changes > 0 && !(await confirmed(call, changes, line(checkpoint, "workspace")))) {
      call.io.stderr("nothing was changed\n");
      return 1;
    }
    if (call.io.isTty) call.io.stderr("restoring …\n");
    const result = await client.post(path, { body, patient: true }).catch((thrown: unknown) => {
      if (thrown instanceof ApiError && thrown.body["code"] === "occupied")
        call.io.stderr(OCCUPIED_HINT);
      throw thrown;
    });
    printWarnings(call, result);
    if (flags.on("json")) return answer(call, checkpoint, result);
    printDone(call, result);
    return 0;
  },
};
