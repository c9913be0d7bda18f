// A process source on the real kernel of this machine, with programs that look like agents to it and nobody else.

import { chmodSync, closeSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Database } from "bun:sqlite";
import type { ProcessId } from "../../../src/core/agent.ts";
import { systemClock } from "../../../src/core/clock.ts";
import { messageOf } from "../../../src/core/errors.ts";
import type { EventDraft, ObserverEvent } from "../../../src/core/event.ts";
import { newId } from "../../../src/core/ids.ts";
import { openProcConnector } from "../../../src/kernel/proc-connector.ts";
import { openPidfd, pidfdExit } from "../../../src/kernel/pidfd.ts";
import { readStat } from "../../../src/kernel/procfs.ts";
import { startWatcher, type Watcher } from "../../../src/kernel/watcher.ts";
import { createHost, type Host } from "../../../src/sources/processes/host.ts";
import { createProcessSource, type ProcessSource } from "../../../src/sources/processes/source.ts";
import { createAgentRows } from "../../../src/store/agent-rows.ts";
import { migrate } from "../../../src/store/migrations.ts";
import { createMetrics } from "../../../src/telemetry/metrics.ts";
import { createFakeLog } from "../../support/clock.ts";
import { rowsOf } from "../../support/detector-scenario.ts";
import { createDetectors, DEFAULT_DETECTOR_OPTIONS } from "../../../src/detectors/catalog.ts";

export const HOST_NAME = "test-host";
/** A noisy machine with two cores may need seconds for what takes milliseconds. */
export const PATIENCE_MS = 10_000;

export interface KitOptions {
  /** False: as where the kernel reports nothing. */
  connector?: boolean;
  /** False: as where there is no waiting thread. */
  watcher?: boolean;
  host?: Partial<Host>;
  scanMs?: number;
  database?: Database;
  endedByUs?: (process: ProcessId) => boolean;
  rules?: string[];
  cgroupParent?: string;
  enabled?: boolean;
  /** Of an earlier kit, for a restart. */
  kind?: string;
}

export interface Kit {
  source: ProcessSource;
  /** A kind that only this kit's programs have. */
  kind: string;
  /** Directory of the programs. */
  directory: string;
  drafts: EventDraft[];
  metrics: ReturnType<typeof createMetrics>;
  log: ReturnType<typeof createFakeLog>;
  database: Database;
  /** Starts a shell program that is an agent of the kit's kind. */
  spawn(script: string, options?: SpawnOptions): Bun.Subprocess<"pipe", "pipe", "ignore">;
  /** A program file of that name; returns its path. */
  program(name: string, script: string): string;
  /** Drafts of one kind about a process. */
  of(kind: EventDraft["kind"], pid: number): EventDraft[];
  started(pid: number): Promise<EventDraft>;
  exitOf(pid: number): Promise<EventDraft>;
  /** Starts and ends that were told of a process. */
  told(pid: number): { starts: number; exits: number };
  stop(): Promise<void>;
}

interface SpawnOptions {
  env?: Record<string, string>;
  cwd?: string;
}

export async function waitFor<T>(
  what: string,
  look: () => T | null | undefined | false,
): Promise<T> {
  const untilMs = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = look();
    if (found !== null && found !== undefined && found !== false && found !== 0) return found;
    if (Date.now() > untilMs) throw new Error(`waited in vain for ${what}`);
    await Bun.sleep(5);
  }
}

export async function createKit(options: KitOptions = {}): Promise<Kit> {
  const directory = mkdtempSync(join(tmpdir(), "observer-agents-"));
  chmodSync(directory, 0o755);
  const kind = options.kind ?? `kit-${newId()}`;
  const database = options.database ?? openMemory();
  const drafts: EventDraft[] = [];
  const metrics = createMetrics();
  const log = createFakeLog();
  const watcher: Watcher | null =
    options.watcher === false ? null : await startWatcher({ onError: (text) => log.error(text) });
  const children = new Set<Bun.Subprocess>();
  const source = createProcessSource(
    {
      enabled: options.enabled ?? true,
      rules: [`${kind}=${kind}*`, ...(options.rules ?? [])],
      scanMs: options.scanMs ?? 200,
      hostName: HOST_NAME,
      selfCommand: [],
      cgroupParent: options.cgroupParent ?? "observer-00000000",
    },
    {
      offer: async (offered) => {
        drafts.push(...offered);
        return offered.map(({ id }, at) => ({ status: "accepted", id: id ?? "", seq: at }));
      },
      rows: createAgentRows(database),
      watcher,
      openProcConnector:
        options.connector === false
          ? () => Promise.reject(new Error("left out by the test"))
          : openProcConnector,
      endedByUs: options.endedByUs ?? (() => false),
      host: { ...createHost(), ...options.host },
      clock: systemClock,
      log,
      metrics,
    },
  );
  await source.start();
  const of: Kit["of"] = (eventKind, pid) =>
    drafts.filter((draft) => draft.kind === eventKind && draft.pid === pid);
  const program: Kit["program"] = (name, script) => {
    const path = join(directory, name);
    writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return path;
  };
  return {
    source,
    kind,
    directory,
    drafts,
    metrics,
    log,
    database,
    program,
    of,
    spawn(script, { env, cwd } = {}) {
      const path = program(`${kind}-${newId()}`, script);
      const child = Bun.spawn([path], {
        stdio: ["pipe", "pipe", "ignore"],
        env: { PATH: "/usr/bin:/bin", ...env },
        cwd: cwd ?? directory,
      });
      children.add(child);
      return child;
    },
    exitOf: (pid) => waitFor(`the end of ${pid}`, () => of("process_exit", pid)[0]),
    started: (pid) => waitFor(`the start of ${pid}`, () => of("process_start", pid)[0]),
    told: (pid) => ({
      starts: of("process_start", pid).length,
      exits: of("process_exit", pid).length,
    }),
    async stop() {
      await source.stop();
      await watcher?.stop();
      for (const child of children) child.kill("SIGKILL");
      await Promise.all([...children].map((child) => child.exited));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** What a script's `read line` waits for. */
export async function sendLine({ stdin }: { stdin: Bun.FileSink }): Promise<void> {
  await stdin.write("\n");
  await stdin.flush();
}

export function openMemory(): Database {
  const database = new Database(":memory:", { strict: true });
  migrate(database);
  return database;
}

/** As the pipeline would: each trouble once. */
export function interruptionsOf(drafts: EventDraft[]): string[] {
  const detectors = createDetectors(DEFAULT_DETECTOR_OPTIONS);
  const findings = drafts
    .map((draft, at) => toEvent(draft, at))
    .flatMap((event) => detectors.flatMap((detector) => detector.observe(event)));
  return rowsOf(findings).map(({ type }) => type);
}

export function toEvent(draft: EventDraft, at = 0): ObserverEvent {
  const { id, timeMs, host, imported: _, digest: __, ...rest } = draft;
  return {
    ...rest,
    seq: at + 1,
    id: id ?? `draft-${at}`,
    timeMs: timeMs ?? Date.now(),
    receivedMs: Date.now(),
    host: host ?? HOST_NAME,
  };
}

/** A process as the kernel names it now. */
export function identityOf(pid: number): ProcessId {
  const stat = readStat(pid);
  if (!stat) throw new Error(`process ${pid} is gone`);
  return { pid, startTicks: stat.startTicks };
}

export interface KernelProbe {
  /** Null: the kernel reports processes to us; else why not. */
  connector: string | null;
  /** The kernel keeps exit statuses with pidfds, as since 6.15. */
  exitInfo: boolean;
}

/** What the tests may expect of this kernel; prints what is missing. */
export async function probeKernel(): Promise<KernelProbe> {
  const connector = await openProcConnector().then(
    ({ fd, close }) => {
      close();
      closeSync(fd);
      return null;
    },
    (thrown: unknown) => messageOf(thrown),
  );
  const exitInfo = await hasExitInfo();
  if (connector !== null) console.log(`skipped: deaths told by the kernel: ${connector}`);
  if (!exitInfo) console.log("skipped: exit statuses of pidfds: this kernel keeps none");
  return { connector, exitInfo };
}

async function hasExitInfo(): Promise<boolean> {
  const child = Bun.spawn(["sleep", "60"]);
  try {
    const fd = openPidfd(child.pid);
    child.kill("SIGKILL");
    await child.exited;
    const status = pidfdExit(fd);
    closeSync(fd);
    return status !== null;
  } catch {
    return false;
  } finally {
    child.kill("SIGKILL");
  }
}
