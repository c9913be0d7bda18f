// The freezer of a test: one write stops an agent's cgroup, without a guardian.

import { closeSync, openSync, writeFileSync } from "node:fs";
import type { Agent, Freeze, Freezer } from "../../src/core/agent.ts";
import { freezeFile, isFrozen } from "../../src/kernel/cgroup-control.ts";

export interface TestFreezer extends Freezer {
  /** All freezes that were begun, oldest first. */
  readonly freezes: Freeze[];
  isFrozen(agent: Agent): boolean;
}

export function createCgroupFreezer(): TestFreezer {
  const freezes: Freeze[] = [];
  const begin = (agent: Agent, sinceMs: number): Freeze | null => {
    const file = freezeFile(agent.cgroups);
    if (!file) return null;
    let stoodMs: number | null = null;
    const freeze: Freeze = {
      id: `f${freezes.length + 1}`,
      agent,
      method: file.method,
      sinceMs,
      thaw() {
        if (stoodMs !== null) return stoodMs;
        writeFileSync(file.path, file.thawed);
        stoodMs = Date.now() - sinceMs;
        return stoodMs;
      },
    };
    freezes.push(freeze);
    return freeze;
  };
  return {
    freezes,
    isFrozen(agent) {
      const file = freezeFile(agent.cgroups);
      return file !== null && isFrozen(file) === true;
    },
    freeze(agent) {
      const file = freezeFile(agent.cgroups);
      if (!file) return null;
      writeFileSync(file.path, file.frozen);
      return begin(agent, Date.now());
    },
    reflex(agent) {
      const file = freezeFile(agent.cgroups);
      if (!file) return null;
      const fd = openSync(file.path, "w");
      return {
        steps: [{ fd, bytes: file.frozen }],
        taken(atMs) {
          closeSync(fd);
          return begin(agent, atMs) as Freeze;
        },
        dispose: () => closeSync(fd),
      };
    },
  };
}
