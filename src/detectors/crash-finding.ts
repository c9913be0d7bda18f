// The words of an `agent_crash`.

import type { ObserverEvent } from "../core/event.ts";
import type { Finding } from "../core/interruption.ts";
import type { ExitFacts } from "./exit-facts.ts";
import { findingAt } from "./finding.ts";
import type { Run } from "./runs.ts";

interface Circumstances {
  run: Run;
  exit: ExitFacts;
  inFlight: boolean;
}

/** A finding of this event, with what only the run knows of session, agent, pid and directory. */
export function crashFinding(event: ObserverEvent, circumstances: Circumstances): Finding {
  const { run, exit, inFlight } = circumstances;
  const finding = findingAt(event, {
    type: "agent_crash",
    // Each death is its own trouble.
    fingerprint: `crash:${event.pid ?? ""}:${event.id}`,
    summary: `${nameOf(run, event)} ${describe(exit)}${inFlight ? " while work was under way" : ""}`,
    detail: {
      exit_code: exit.exitCode,
      signal: exit.signal,
      core_dumped: exit.coreDumped,
      in_flight: inFlight,
    },
    evidence: [event.id],
  });
  const { sessionId, agent, pid, cwd } = run;
  return {
    ...(sessionId === undefined ? {} : { sessionId }),
    ...(agent === undefined ? {} : { agent }),
    ...(pid === undefined ? {} : { pid }),
    ...(cwd === undefined ? {} : { cwd }),
    ...finding,
  };
}

function nameOf(run: Run, event: ObserverEvent): string {
  const pid = event.pid ?? run.pid;
  return `${run.agent ?? "agent"}${pid === undefined ? "" : ` (pid ${pid})`}`;
}

function describe({ signal, exitCode, coreDumped }: ExitFacts): string {
  const how = signal === null ? `exited with code ${exitCode ?? "unknown"}` : `died of ${signal}`;
  return coreDumped ? `${how} and dumped core` : how;
}
