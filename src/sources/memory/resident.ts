// How much memory an agent uses: its own cgroup says it exactly, else the sum over its processes.

import type { Agent, ProcessId } from "../../core/agent.ts";
import { pageBytes } from "../../kernel/boot.ts";
import { readMemory } from "../../kernel/cgroup-memory.ts";
import { type ProcessLink, readLinks, treeIn } from "../../kernel/process-tree.ts";
import { readStat } from "../../kernel/procfs.ts";

/** One look at all processes, some 5 ms for 500, serves all agents of a list. */
const LINKS_FRESH_MS = 1_000;

/** Bytes; of a tree, pages that its processes share count in each. Null when the agent is gone. */
export function createResident(monotonic: () => number): (agent: Agent) => number | null {
  let links: ProcessLink[] = [];
  let readMs = -Infinity;

  const treeBytes = (root: ProcessId): number | null => {
    if (monotonic() - readMs > LINKS_FRESH_MS) {
      links = readLinks();
      readMs = monotonic();
    }
    const tree = treeIn(links, root);
    if (tree.length === 0) return null;
    const pages = tree.map(({ pid }) => readStat(pid)?.rssPages ?? 0);
    return pages.reduce((sum, some) => sum + some, 0) * pageBytes();
  };

  return (agent) => {
    const { memory, memoryVersion } = agent.cgroups;
    if (agent.ownCgroup && memory !== null && memoryVersion !== null) {
      const own = readMemory(memory, memoryVersion);
      if (own) return own.workingSetBytes;
    }
    return treeBytes(agent);
  };
}
