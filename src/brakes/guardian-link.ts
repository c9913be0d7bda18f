// Observer's side of the guardian: starts it, talks to it, notices when it dies or hangs, starts it anew.

import { closeSync, writeSync } from "node:fs";
import type { ProcessId } from "../core/agent.ts";
import type { Clock } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { codeOf } from "../kernel/kernel-file.ts";
import { createPipe, replaceDescriptor } from "../kernel/pipe.ts";
import { readStat } from "../kernel/procfs.ts";
import { createLineCutter, parseReport, type Report } from "./guardian-protocol.ts";

/** A start takes 50 to 100 ms; a machine that is short of memory takes longer. */
const START_PATIENCE_MS = 10_000;
/** What is announced is heard within a millisecond. Longer than this means that the guardian hangs or was stopped. */
const HEAR_PATIENCE_MS = 2_000;
const HEAR_AGAIN_MS = 250;
/** Waits between two starts that failed; doubled up to the second. */
const RESTART_MS = 100;
const RESTART_MS_MAX = 30_000;

export interface GuardianLinkOptions {
  /** Program, arguments and verb; absolute, because it is started in `/`. */
  command: string[];
  /** Name of observer's cgroups. */
  name: string;
  listPath: string;
}

export interface GuardianLinkDeps {
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** Lines that a new guardian must know before anything may be stopped again. */
  announcements(): string[];
  /** A guardian runs and knows all of them. */
  onReady(): void;
  onReport(report: Report): void;
  /** It is gone: whatever stands must go on now. */
  onLost(): void;
}

export interface GuardianLink {
  /** Resolves when it is ready or the first start failed, which is tried again until `stop`. */
  start(): Promise<void>;
  /** Closes the pipe: the guardian lets all go on that stands for a checkpoint, and stays for leases. */
  stop(): void;
  /** The process, once it is ready. */
  running(): ProcessId | null;
  /** Why there is none, or where it could not leave observer's cgroup; null when all is well. */
  trouble(): string | null;
  /** Hands over lines, in order. False when it could not take them: then nothing may be stopped. */
  send(lines: readonly string[]): boolean;
  /** After an announcement: the guardian must say within 2 s that it heard it, or it is replaced. */
  expectHeard(slot: number): void;
  /**
   * Where the waiting thread writes. The number stays the same over restarts of the guardian, and always leads to one
   * or to a pipe without reader, so that a late write can never reach another file. -1 before `start`.
   */
  fd(): number;
  /** Reflexes that know `fd` and may still write; while there are any it is not closed. */
  keep(): void;
  unkeep(): void;
}

interface Running extends ProcessId {
  child: Bun.Subprocess;
}

interface State {
  options: GuardianLinkOptions;
  deps: GuardianLinkDeps;
  /** Announcements that the guardian has not answered yet, by slot. */
  unheard: Map<number, Timer>;
  fd: number;
  kept: number;
  current: Running | null;
  stopped: boolean;
  trouble: string | null;
  delayMs: number;
  retry: Timer | undefined;
}

export function createGuardianLink(
  options: GuardianLinkOptions,
  deps: GuardianLinkDeps,
): GuardianLink {
  const state: State = {
    options,
    deps,
    unheard: new Map(),
    fd: -1,
    kept: 0,
    current: null,
    stopped: false,
    trouble: "not started",
    delayMs: RESTART_MS,
    retry: undefined,
  };
  return {
    start: () => start(state),
    stop: () => stop(state),
    running: () =>
      state.current && { pid: state.current.pid, startTicks: state.current.startTicks },
    trouble: () => state.trouble,
    send: (lines) => send(state, lines),
    expectHeard(slot) {
      const running = state.current;
      if (!running || state.unheard.has(slot)) return;
      // Timers come before reports when it was us who stood still, so a second look decides.
      const again = (): void => {
        const last = setTimeout(() => replace(state, running, "silent"), HEAR_AGAIN_MS);
        state.unheard.set(slot, last);
      };
      state.unheard.set(slot, setTimeout(again, HEAR_PATIENCE_MS));
    },
    fd: () => state.fd,
    keep: () => void (state.kept += 1),
    unkeep() {
      state.kept -= 1;
      closeWhenUnused(state);
    },
  };
}

async function start(state: State): Promise<void> {
  if (state.stopped) return;
  const { deps, options } = state;
  let writeFd = -1;
  let child: Bun.Subprocess<number, "pipe", "ignore"> | undefined;
  try {
    if (state.fd < 0) state.fd = deadPipe();
    const pipe = createPipe();
    writeFd = pipe.writeFd;
    try {
      child = spawn(options, pipe.readFd);
    } finally {
      closeSync(pipe.readFd);
    }
    const ready = await readyOf(child, (report) => hear(state, report));
    const startTicks = readStat(child.pid)?.startTicks;
    if (startTicks === undefined) throw new Error("it ended at once");
    if (state.stopped) return;
    // It must know all armed reflexes and leases before the first byte of the waiting thread can reach it.
    for (const line of deps.announcements()) writeSync(writeFd, line);
    replaceDescriptor(state.fd, writeFd);
    begin(state, { pid: child.pid, startTicks, child }, ready);
  } catch (error) {
    child?.kill("SIGKILL");
    failed(state, error);
  } finally {
    // Of a guardian that is not used this was the only writer, so that it ends.
    if (writeFd >= 0) closeSync(writeFd);
  }
}

function begin(state: State, running: Running, ready: Extract<Report, { kind: "ready" }>): void {
  const { moved, stuck } = ready;
  state.current = running;
  state.trouble = stuck.length > 0 ? `it shares observer's cgroup (${stuck.join("; ")})` : null;
  state.delayMs = RESTART_MS;
  state.deps.log.info("guardian started", {
    pid: running.pid,
    cgroups: moved.join(" "),
    trouble: state.trouble,
  });
  void running.child.exited.then(() => lose(state, running, "died"));
  running.child.unref();
  state.deps.onReady();
}

function failed(state: State, error: unknown): void {
  const reason = messageOf(error);
  state.trouble = `it cannot be started: ${reason}`;
  state.deps.log.error("guardian not started, nothing will be stopped", {
    reason,
    again_ms: state.delayMs,
  });
  state.deps.metrics.add("observer_guardian_restarts_total", 1, { reason: "failed" });
  state.retry = setTimeout(() => void start(state), state.delayMs);
  state.delayMs = Math.min(state.delayMs * 2, RESTART_MS_MAX);
}

function hear(state: State, report: Report): void {
  if (report.kind === "heard") {
    clearTimeout(state.unheard.get(report.slot));
    state.unheard.delete(report.slot);
  }
  state.deps.onReport(report);
}

function send(state: State, lines: readonly string[]): boolean {
  const running = state.current;
  if (!running) return false;
  try {
    for (const line of lines) writeSync(state.fd, line);
    return true;
  } catch (error) {
    // EAGAIN: it has not read 64 KiB, so it hangs. EPIPE: it died, which its exit will say.
    if (codeOf(error) === "EAGAIN") replace(state, running, "silent");
    return false;
  }
}

/** One that hangs is as good as dead, but might wake up: it is ended first. */
function replace(state: State, running: Running, reason: "silent"): void {
  if (state.current !== running) return;
  running.child.kill("SIGKILL");
  lose(state, running, reason);
}

function lose(state: State, running: Running, reason: "died" | "silent"): void {
  if (state.current !== running) return;
  state.current = null;
  clearUnheard(state);
  if (state.stopped) return;
  state.trouble = `it ${reason === "died" ? "died" : "did not answer"} and is being replaced`;
  state.deps.metrics.add("observer_guardian_restarts_total", 1, { reason });
  state.deps.log.error("guardian lost: everything that stands goes on now", {
    pid: running.pid,
    reason,
  });
  state.deps.onLost();
  void start(state);
}

function clearUnheard({ unheard }: State): void {
  for (const timer of unheard.values()) clearTimeout(timer);
  unheard.clear();
}

function stop(state: State): void {
  if (state.stopped) return;
  state.stopped = true;
  clearTimeout(state.retry);
  clearUnheard(state);
  state.current = null;
  if (state.fd < 0) return;
  const dead = deadPipe();
  replaceDescriptor(state.fd, dead);
  closeSync(dead);
  closeWhenUnused(state);
}

function closeWhenUnused(state: State): void {
  if (!state.stopped || state.kept > 0 || state.fd < 0) return;
  closeSync(state.fd);
  state.fd = -1;
}

/** The write end of a pipe that nobody reads: writing to it fails. */
function deadPipe(): number {
  const { readFd, writeFd } = createPipe();
  closeSync(readFd);
  return writeFd;
}

function spawn(
  { command, name, listPath }: GuardianLinkOptions,
  readFd: number,
): Bun.Subprocess<number, "pipe", "ignore"> {
  return Bun.spawn([...command, name, listPath], {
    // The write end is closed on exec, here and in every other child, so that it is closed when observer is gone.
    stdin: readFd,
    stdout: "pipe",
    // Whoever reads observer's log must see its end when observer ends.
    stderr: "ignore",
    cwd: "/",
    // A session of its own: no terminal and no group signal reaches it.
    detached: true,
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C.UTF-8" },
  });
}

/** Waits for its first report; the others go to `take` from then on. Rejects when it ends or says nothing. */
async function readyOf(
  child: Bun.Subprocess<number, "pipe", "ignore">,
  take: (report: Report) => void,
): Promise<Extract<Report, { kind: "ready" }>> {
  const { promise, resolve, reject } = Promise.withResolvers<Extract<Report, { kind: "ready" }>>();
  const late = setTimeout(() => reject(new Error("it is not ready in time")), START_PATIENCE_MS);
  const cut = createLineCutter((line) => {
    const report = parseReport(line);
    if (report?.kind === "ready") resolve(report);
    else if (report) take(report);
  });
  const read = async (): Promise<void> => {
    for await (const chunk of child.stdout) cut(chunk);
  };
  void read().then(
    () => reject(new Error("it ended before it was ready")),
    (error: unknown) => reject(error instanceof Error ? error : new Error(messageOf(error))),
  );
  return await promise.finally(() => clearTimeout(late));
}
