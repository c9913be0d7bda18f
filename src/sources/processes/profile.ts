// Describes a process that was recognised as an agent, from what the kernel says of it.

import { type Agent, agentId, type ProcessId } from "../../core/agent.ts";
import type { Redactor } from "../../core/redact.ts";
import { clip, printable } from "../../core/text.ts";
import type { Host } from "./host.ts";

/** Enough to tell it from others; a prompt may be megabytes. */
const COMMAND_LENGTH_MAX = 300;

export interface ProfileRequest extends ProcessId {
  kind: string;
  command: readonly string[];
}

/** Null when it ended meanwhile. What may not be read of another user's process is null in it. */
export function profileOf(
  { pid, startTicks, kind, command }: ProfileRequest,
  { host, redact, nowMs }: { host: Host; redact: Redactor; nowMs: number },
): Agent | null {
  const uid = host.readUid(pid);
  if (uid === null || host.readStat(pid)?.startTicks !== startTicks) return null;
  const cwd = directoryOf(pid, host);
  return {
    id: agentId({ pid, startTicks }),
    pid,
    startTicks,
    kind,
    startedMs: host.startedMs(startTicks, nowMs),
    uid,
    cwd,
    command: commandText(command, redact),
    sessionId: null,
    workspace: cwd,
    runId: null,
    cgroups: host.cgroupsOf(pid),
    ownCgroup: false,
  };
}

/** Working directory, where it is a path of ours. */
export function directoryOf(pid: number, host: Host): string | null {
  return host.sharesPaths(pid) ? host.workingDirectory(pid) : null;
}

/** One printable line without the secrets that the rules know. */
export function commandText(command: readonly string[], redact: Redactor): string {
  const words = command
    .filter((word) => word !== "")
    .map((word) => word.slice(0, COMMAND_LENGTH_MAX * 4));
  const clean = (redact.value(words) ?? words) as string[];
  return clip(printable(clean.join(" ")), COMMAND_LENGTH_MAX);
}
