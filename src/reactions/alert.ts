// Tells people: a line on the terminal, a line in the alert file.

import { appendFile } from "node:fs/promises";
import { messageOf } from "../core/errors.ts";
import type { Interruption } from "../core/interruption.ts";
import type { Reaction } from "../core/reaction.ts";
import { isoTime, printable } from "../core/text.ts";

/** A local file takes far less; a hung file system must not hold the next alert. */
const DEADLINE_MS = 5_000;

export interface AlertDeps {
  /** Writes one line to the terminal; null when that channel is off. */
  terminal: ((line: string) => void) | null;
  /** File that lines are appended to; null when that channel is off. */
  alertFile: string | null;
}

/** ISO time, severity, type, session, summary: one line, whatever the agent wrote. */
export function alertLine(it: Interruption): string {
  const session = it.sessionId ?? "-";
  return printable(`${isoTime(it.timeMs)} ${it.severity} ${it.type} ${session} ${it.summary}`);
}

export function createAlert({ terminal, alertFile }: AlertDeps): Reaction {
  const channels: [string, (line: string) => Promise<void>][] = [];
  if (terminal) channels.push(["terminal", async (line) => terminal(`ALERT ${line}\n`)]);
  if (alertFile) {
    channels.push(["file", (line) => appendFile(alertFile, `${line}\n`, { mode: 0o600 })]);
  }
  return {
    kind: "alert",
    deadlineMs: DEADLINE_MS,
    async perform({ interruption }) {
      const line = alertLine(interruption);
      const detail: Record<string, string> = {};
      for (const [name, tell] of channels) {
        try {
          await tell(line);
          detail[name] = "done";
        } catch (thrown) {
          detail[name] = `failed: ${messageOf(thrown)}`;
        }
      }
      const told = Object.values(detail).filter((outcome) => outcome === "done").length;
      const status = told === channels.length ? "done" : "failed";
      return { status, reason: `${told} of ${channels.length} channels told`, detail };
    },
  };
}
