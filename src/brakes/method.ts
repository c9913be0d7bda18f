// By which means an agent is stopped: its own cgroup of v2, that of v1, else signals to its tree.

import type { Agent } from "../core/agent.ts";
import { freezeFile, processesIn } from "../kernel/cgroup-control.ts";
import { NO_CGROUPS } from "../kernel/cgroup.ts";
import { ownDirectories } from "./own-cgroup.ts";
import type { Target } from "./target.ts";

/** What of the kernel's state decides; passed in, so that the choice can be tested. */
export interface MethodLook {
  freezeFile: typeof freezeFile;
  /** Processes of the cgroup and of those below it. */
  processesIn: typeof processesIn;
}

/** How this agent would be stopped now. Nothing is stopped yet. */
export function chooseTarget(agent: Agent, look: MethodLook = { freezeFile, processesIn }): Target {
  const root = { pid: agent.pid, startTicks: agent.startTicks };
  const base = { agent: agent.id, root, processes: [] };
  const { unified, freezer } = ownDirectories(agent);
  const inside = (directory: string): boolean => look.processesIn(directory).includes(agent.pid);
  // An agent that moved itself out (it may be root) would not stand still with the cgroup that was made for it.
  const file =
    (unified !== null && inside(unified) && look.freezeFile({ ...NO_CGROUPS, unified })) ||
    (freezer !== null && inside(freezer) && look.freezeFile({ ...NO_CGROUPS, freezer })) ||
    null;
  return file
    ? { ...base, method: file.method, path: file.path }
    : { ...base, method: "SIGSTOP", path: null };
}
