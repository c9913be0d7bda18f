// What `observer doctor` concludes from what it was told: pure, one check after the other.

import type { Json } from "./client.ts";
import { formatSize } from "../core/units.ts";
import { number, object, objects, text } from "./show.ts";

export type CheckState = "ok" | "degraded" | "missing" | "broken";

export interface Check {
  name: string;
  state: CheckState;
  reason: string;
  /** What it is for; of the host's features. */
  purpose?: string;
  /** The one command or setting that mends it. */
  fix?: string;
}

/** The data directory of this user and what is around it, as found on this machine. */
export interface LocalFacts {
  dataDir: string;
  /** False when nothing can be made in it, or it cannot be made. */
  writable: boolean;
  /** Why it is not writable. */
  reason: string;
  freeBytes: number | null;
  /** Ingest stops below. */
  freeBytesMin: number;
  /** Permission bits of the token file; null where there is none, or it cannot be seen. */
  tokenMode: number | null;
  /** A socket is there; nobody may be behind it. */
  socket: boolean;
}

/** What the daemon answered; `facts` null where it did not, or not to this user. */
export interface DaemonAnswer {
  target: string;
  /** Why there are no facts. */
  trouble: "absent" | "foreign" | "refused" | null;
  message: string;
  facts: { version: Json; ready: Json; vram: Json } | null;
}

export interface Diagnosis {
  state: "healthy" | "degraded" | "broken";
  checks: Check[];
}

/** Everything together. The data directory is the daemon's where it answers, else that of this user. */
export function diagnose(
  daemon: DaemonAnswer,
  host: { local: LocalFacts; capabilities: Json[]; version: string },
): Diagnosis {
  const { facts } = daemon;
  const checks = [
    daemonCheck(daemon, host.local),
    ...(facts ? [versionCheck(facts.version, host.version), readyCheck(facts.ready)] : []),
    ...(facts ? [daemonDisk(facts.vram, host.local)] : localDirectory(host.local)),
    ...tokenCheck(host.local),
    ...(facts ? workspaceChecks(facts.version) : []),
    ...host.capabilities.map(capabilityCheck),
  ];
  const has = (state: CheckState): boolean => checks.some((check) => check.state === state);
  const state = has("broken")
    ? "broken"
    : has("degraded") || has("missing")
      ? "degraded"
      : "healthy";
  return { state, checks };
}

function daemonCheck({ target, trouble, message }: DaemonAnswer, local: LocalFacts): Check {
  const name = "daemon";
  switch (trouble) {
    case null:
      return { name, state: "ok", reason: `answers at ${target}` };
    case "refused":
      return {
        name,
        state: "degraded",
        reason: `answers at ${target}, but not to this user: ${message}`,
        fix: "run it as root or as observer's user, or give --token-file FILE",
      };
    case "foreign":
      return { name, state: "degraded", reason: message, fix: "observer --port N" };
    case "absent": {
      const left = local.socket ? "; a dead observer left its socket, which the next replaces" : "";
      return { name, state: "degraded", reason: `${message}${left}`, fix: "observer" };
    }
  }
}

function versionCheck(daemon: Json, own: string): Check {
  const theirs = text(daemon, "version");
  if (theirs === own) return { name: "version", state: "ok", reason: `${own} here and there` };
  const reason = `the daemon is ${theirs}, this program is ${own}`;
  return { name: "version", state: "degraded", reason, fix: "start the daemon again" };
}

function readyCheck(ready: Json): Check {
  const problem = text(ready, "error");
  if (problem === "") return { name: "ready", state: "ok", reason: "it keeps what it is sent" };
  return { name: "ready", state: "broken", reason: problem, fix: "look at its log" };
}

function daemonDisk(vram: Json, { freeBytesMin }: LocalFacts): Check {
  const data = object(object(vram, "disk"), "data");
  return space(text(data, "path"), number(data, "free_bytes"), freeBytesMin);
}

function localDirectory(local: LocalFacts): Check[] {
  const { dataDir, writable, reason } = local;
  if (writable) return [space(dataDir, local.freeBytes, local.freeBytesMin)];
  const fix = "observer --data DIR, with a directory of your own";
  return [{ name: "data_directory", state: "broken", reason, fix }];
}

function space(path: string, free: number | null, least: number): Check {
  const name = "data_directory";
  if (free === null) {
    return { name, state: "degraded", reason: `${path}: free space cannot be told` };
  }
  const reason = `${path}, ${formatSize(free)} free`;
  if (free >= least) return { name, state: "ok", reason };
  const fix = `make room: ingest stops below ${formatSize(least)} (limits.disk_free_bytes)`;
  return { name, state: "broken", reason, fix };
}

/** Bits that let others than the owner in. */
const OTHERS = 0o077;

function tokenCheck({ tokenMode, dataDir }: LocalFacts): Check[] {
  if (tokenMode === null) return [];
  if ((tokenMode & OTHERS) === 0) {
    return [{ name: "token", state: "ok", reason: "only its owner can read it" }];
  }
  const reason = `others can read it: mode ${tokenMode.toString(8).padStart(4, "0")}`;
  return [{ name: "token", state: "degraded", reason, fix: `chmod 600 ${dataDir}/token` }];
}

function workspaceChecks(version: Json): Check[] {
  const protection = object(version, "protection");
  const workspaces = objects(protection, "workspaces");
  const armed = protection["armed"] === true ? "saved on trouble" : "saved by hand only";
  if (workspaces.length === 0) {
    return [{ name: "workspaces", state: "ok", reason: "none is configured" }];
  }
  return workspaces.map((workspace): Check => {
    const path = text(workspace, "path");
    const backend = text(workspace, "backend");
    const name = "workspace";
    if (backend !== "") return { name, state: "ok", reason: `${path}: ${backend}, ${armed}` };
    const reason = `${path} cannot be saved: ${text(workspace, "reason")}`;
    return { name, state: "degraded", reason };
  });
}

const STATES: readonly CheckState[] = ["ok", "degraded", "missing"];

function capabilityCheck(row: Json): Check {
  const fix = text(row, "fix");
  return {
    name: text(row, "name"),
    state: STATES.find((state) => state === row["state"]) ?? "degraded",
    reason: text(row, "reason"),
    purpose: text(row, "purpose"),
    ...(fix === "" ? {} : { fix }),
  };
}
