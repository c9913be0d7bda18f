// Which session an agent runs: by the agent's own register, by what its children were given, by events that fit it alone.

import type { ObserverEvent } from "../../core/event.ts";
import type { Host } from "./host.ts";
import { readOwnedFile } from "./owned-file.ts";
import type { AgentRecord } from "./record.ts";
import { retie, type Tie } from "./ties.ts";

/** As ids of events: printable, no longer than 256. */
const SESSION_ID = /^[\x21-\x7e]{1,256}$/;
/** The real ones have some 300 bytes. */
const REGISTER_BYTES_MAX = 16 * 1024;
const PASSWD_BYTES_MAX = 1024 * 1024;
/** A clock that was set, and the seconds that a program needs until it writes. */
const CLOCK_SLACK_MS = 60_000;
/** Processes whose register is looked for: the agent's own, and those of its kind below a wrapper. */
const REGISTERS_MAX = 8;
/** Children whose environment is read in one look. */
const CHILDREN_MAX = 16;
/** A file system that does not answer is asked again only when it has. */
const FILE_PATIENCE_MS = 2_000;

/** A process of the agent's tree, youngest last. */
export interface TreeProcess {
  pid: number;
  ppid: number;
  startTicks: number;
  kind: string | null;
}

export interface SessionLook {
  record: AgentRecord;
  /** The live processes below it, without the agent itself. */
  tree: TreeProcess[];
}

export function createSessionLooks({ host, now }: { host: Host; now: () => number }) {
  /** Agents whose file system has not answered yet. */
  const waiting = new Set<string>();

  return {
    /** What its environment said when it was started. */
    ownTie(pid: number): Tie | null {
      const id = host.readEnvironment(pid)?.get("OBSERVER_SESSION_ID");
      return id !== undefined && SESSION_ID.test(id) ? { sessionId: id, atMs: 0 } : null;
    },
    /** Reads the environment of the youngest children; only claude gives them its session. */
    lookAtChildren({ record, tree }: SessionLook): void {
      if (record.ruleKind !== "claude-code") return;
      const { agent, ties } = record;
      for (const child of ownChildren(record, tree).slice(-CHILDREN_MAX).reverse()) {
        if (host.readUid(child.pid) !== agent.uid) continue;
        const id = host.readEnvironment(child.pid)?.get("CLAUDE_CODE_SESSION_ID");
        if (id === undefined || !SESSION_ID.test(id)) continue;
        const atMs = host.startedMs(child.startTicks, now());
        if (ties.child === null || atMs > ties.child.atMs) ties.child = retie(ties.child, id, atMs);
        return;
      }
    },
    /** Reads the agent's own register. Resolves at once when an earlier look has not come back. */
    async lookAtRegister({ record, tree }: SessionLook): Promise<void> {
      const { agent, ties } = record;
      if (record.ruleKind !== "claude-code" || waiting.has(agent.id)) return;
      waiting.add(agent.id);
      const look = readRegister({ record, tree }, { host, now }).finally(() =>
        waiting.delete(agent.id),
      );
      const sessionId = await Promise.race([look, Bun.sleep(FILE_PATIENCE_MS).then(() => null)]);
      if (sessionId !== null) ties.file = retie(ties.file, sessionId, now());
    },
  };
}

export type SessionLooks = ReturnType<typeof createSessionLooks>;

/**
 * The children that carry this agent's own session: not those below another one of its kind, which runs a session
 * of its own, except where the agent is only a wrapper around that one.
 */
export function ownChildren(
  { agent, ruleKind }: Pick<AgentRecord, "agent" | "ruleKind">,
  tree: TreeProcess[],
): TreeProcess[] {
  const byParent = Map.groupBy(tree, ({ ppid }) => ppid);
  const found: TreeProcess[] = [];
  const pending = [agent.pid];
  for (const pid of pending) {
    const children = byParent.get(pid) ?? [];
    for (const child of children) {
      const isWrapped = child.kind === ruleKind && children.length === 1 && found.length === 0;
      if (child.kind !== null && !isWrapped) continue;
      if (child.kind === null) found.push(child);
      pending.push(child.pid);
    }
  }
  return found.sort((one, other) => one.startTicks - other.startTicks);
}

async function readRegister(
  { record, tree }: SessionLook,
  { host, now }: { host: Host; now: () => number },
): Promise<string | null> {
  const { agent, ruleKind } = record;
  const sameKind = tree.filter(({ kind }) => kind === ruleKind).map(({ pid }) => pid);
  const root = host.sharesPaths(agent.pid) ? "" : `/proc/${agent.pid}/root`;
  const directory = await configDirectory(record, { host, root });
  if (directory === null) return null;
  for (const pid of [agent.pid, ...sameKind].slice(0, REGISTERS_MAX)) {
    const ownPid = host.namespacePid(pid) ?? pid;
    const path = `${directory}/sessions/${ownPid}.json`;
    const file = await readOwnedFile({ root, path, uid: agent.uid, bytesMax: REGISTER_BYTES_MAX });
    const sessionId =
      file && registeredSession(file, { pid: ownPid, startedMs: agent.startedMs, nowMs: now() });
    if (sessionId !== null) return sessionId;
  }
  return null;
}

/** The session that a register names, when it is that of this process and not of an earlier one with its number. */
export function registeredSession(
  { text, modifiedMs }: { text: string; modifiedMs: number },
  { pid, startedMs, nowMs }: { pid: number; startedMs: number; nowMs: number },
): string | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null; // Half written: the next look reads it.
  }
  if (typeof value !== "object" || value === null) return null;
  const { pid: writtenPid, sessionId, startedAt } = value as Record<string, unknown>;
  if (writtenPid !== pid || typeof sessionId !== "string" || !SESSION_ID.test(sessionId)) {
    return null;
  }
  const begun = typeof startedAt === "string" ? Date.parse(startedAt) : startedAt;
  const atMs = typeof begun === "number" && Number.isFinite(begun) ? begun : modifiedMs;
  const fits = atMs >= startedMs - CLOCK_SLACK_MS && atMs <= nowMs + CLOCK_SLACK_MS;
  return fits ? sessionId : null;
}

async function configDirectory(
  { agent }: AgentRecord,
  { host, root }: { host: Host; root: string },
): Promise<string | null> {
  const environment = host.readEnvironment(agent.pid);
  const configured = environment?.get("CLAUDE_CONFIG_DIR");
  if (configured?.startsWith("/")) return configured;
  const home = environment?.get("HOME");
  if (home?.startsWith("/")) return `${home}/.claude`;
  // Owned by root, readable by all: no more than the user could read.
  const passwd = await readOwnedFile({
    root,
    path: "/etc/passwd",
    uid: 0,
    bytesMax: PASSWD_BYTES_MAX,
  });
  const entry = passwd?.text.split("\n").find((line) => line.split(":")[2] === String(agent.uid));
  const listed = entry?.split(":")[5];
  return listed?.startsWith("/") ? `${listed}/.claude` : null;
}

/**
 * The one agent that an event fits: its pid lies in that agent's tree, or no other one of its kind works in its
 * directory. Null for events without a session, of another host, older than the agent, and where two would fit.
 */
export function agentOfEvent(
  event: ObserverEvent,
  {
    records,
    ofPid,
    host,
  }: { records: AgentRecord[]; ofPid: (pid: number) => AgentRecord | null; host: string },
): AgentRecord | null {
  if (event.sessionId === undefined || !SESSION_ID.test(event.sessionId)) return null;
  if (event.host !== host || event.source === "kernel") return null;
  if (event.kind === "session_end" || event.data.agent_id !== undefined) return null;
  const fits = ({ agent, ruleKind, endedMs }: AgentRecord): boolean =>
    endedMs === null &&
    event.timeMs >= agent.startedMs &&
    (event.agent === undefined || event.agent === agent.kind || event.agent === ruleKind);
  if (event.pid !== undefined) {
    const record = ofPid(event.pid);
    return record && fits(record) ? record : null;
  }
  const cwd = event.data.cwd;
  if (typeof cwd !== "string" || event.agent === undefined) return null;
  const there = records.filter((record) => fits(record) && record.agent.cwd === cwd);
  return there.length === 1 ? (there[0] ?? null) : null;
}
