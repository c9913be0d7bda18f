// What observer remembers of kills over a restart: how far it read the kernel's log, and each cgroup's count.

import type { Facts } from "../../store/meta.ts";
import { messageOf } from "../../core/errors.ts";
import type { Log } from "../../telemetry/log.ts";
import type { Owner } from "./oom-proof.ts";

const LOG_KEY = "oom.kmsg";
const COUNTERS_KEY = "oom.counters";
/** Some 200 bytes each, written together; the one that was not touched for longest is forgotten first. */
const CGROUPS_MAX = 100;

/** A cgroup that agents lived in. */
export interface KnownCgroup {
  directory: string;
  kills: number;
  /** So that a kill is attributed although nobody of it is left. */
  owner: Owner | null;
}

export interface OomMemory {
  /** Newest record of the log of this boot that was taken; `never`: this is the first start on this data directory. */
  loggedSeq(): number | null | "never";
  setLoggedSeq(seq: number): void;
  /** By inode; null when it is not known. */
  cgroup(inode: number): KnownCgroup | null;
  setCgroup(inode: number, cgroup: KnownCgroup): void;
  ownerOfDirectory(directory: string): Owner | null;
}

/** `boot`: first 8 digits of the boot id. What was remembered of another boot means nothing. */
export function createOomMemory(
  boot: string,
  { facts, log }: { facts: Facts; log: Log },
): OomMemory {
  const cgroups = readCgroups(boot, facts);

  // A full disk costs a repeated look after the next start, and the store knows repeats by their key.
  const keep = (key: string, value: string): void => {
    try {
      facts.set(key, value);
    } catch (thrown) {
      log.warn("position could not be stored", { key, reason: messageOf(thrown) });
    }
  };

  return {
    loggedSeq() {
      const stored = facts.get(LOG_KEY);
      if (stored === null) return "never";
      const [of, seq] = String(stored).split(":");
      return of === boot && /^\d+$/.test(seq ?? "") ? Number(seq) : null;
    },
    setLoggedSeq: (seq) => keep(LOG_KEY, `${boot}:${seq}`),
    cgroup: (inode) => cgroups.get(inode) ?? null,
    setCgroup(inode, cgroup) {
      if (Bun.deepEquals(cgroups.get(inode), cgroup)) return;
      cgroups.delete(inode);
      cgroups.set(inode, cgroup);
      const oldest = cgroups.size > CGROUPS_MAX ? cgroups.keys().next().value : undefined;
      if (oldest !== undefined) cgroups.delete(oldest);
      keep(COUNTERS_KEY, JSON.stringify({ boot, cgroups: [...cgroups] }));
    },
    ownerOfDirectory: (directory) =>
      [...cgroups.values()].findLast((known) => known.directory === directory)?.owner ?? null,
  };
}

function readCgroups(boot: string, facts: Facts): Map<number, KnownCgroup> {
  try {
    const stored = JSON.parse(String(facts.get(COUNTERS_KEY) ?? "{}")) as {
      boot?: string;
      cgroups?: [number, KnownCgroup][];
    };
    return new Map(stored.boot === boot ? stored.cgroups : []);
  } catch {
    // Only observer writes it; what cannot be read is as good as nothing.
    return new Map();
  }
}
