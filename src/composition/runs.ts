// Joins what `observer run` tells over HTTP to the process source, which confirms it.

import type { ApiDeps } from "../api/deps.ts";
import { ObserverError } from "../core/errors.ts";
import { runSessionId } from "../core/run.ts";
import type { Runs } from "../sources/processes/runs.ts";
import type { Log } from "../telemetry/log.ts";

export function runsOver(runs: Runs, log: Log): Pick<ApiDeps, "adoptRun" | "reportRunExit"> {
  return {
    async adoptRun(request, callerUid) {
      const { id: runId, pid, startTicks, name, workspace, cgroups } = request;
      const claim = { runId, pid, startTicks, name, workspace, cgroups };
      const adopted = runs.adoptRun({ ...claim, callerUid });
      const { agent, ...refused } = await adopted.catch(asVanished);
      const { workspaceRefused, cgroupRefused } = refused;
      if (workspaceRefused !== null || cgroupRefused !== null) {
        log.warn("part of a run is not believed", { run: runId, ...refused });
      }
      const sessionId = agent.sessionId ?? runSessionId(runId);
      return { runId, sessionId, agentId: agent.id, workspace: agent.workspace };
    },
    reportRunExit(runId, exit, callerUid) {
      const { pid, startTicks, exitCode, signal, name, workspace, command } = exit;
      return runs.reportExit({
        pid,
        startTicks,
        exitCode,
        signal,
        // A parent in JavaScript is not told; the kernel's own word is used where it is.
        coreDumped: false,
        callerUid,
        run: { runId, name, workspace, command },
      });
    },
  };
}

/** A caller's own process that is not there any more has ended; it is nothing that was looked for in vain. */
function asVanished(thrown: unknown): never {
  if (!(thrown instanceof ObserverError) || thrown.code !== "not_found") throw thrown;
  throw new ObserverError("vanished", thrown.message, { cause: thrown });
}
