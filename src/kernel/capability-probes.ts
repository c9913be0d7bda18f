// Tries each feature of the kernel on this very host.

import { accessSync, closeSync, constants, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { CgroupDirectories, FreezeMethod } from "../core/agent.ts";
import type { CapabilityProbes, Found } from "./capabilities.ts";
import { openKmsg } from "./kmsg.ts";
import { libc } from "./libc.ts";
import { openPidfd, pidfdExit } from "./pidfd.ts";
import { openProcConnector } from "./proc-connector.ts";
import { HOST_MEMORY_PRESSURE, openPressureTrigger, readPressure } from "./psi.ts";
import { decodeWaitStatus } from "./structs/wait-status.ts";
import { startWatcher } from "./watcher.ts";

/** An empty cgroup that is made to see what it can do, and removed. */
export interface CgroupTrial {
  /** Where `observer run` would make one. Throws when none can be made. */
  create(): { directories: CgroupDirectories; missing: { hierarchy: string; reason: string }[] };
  freezeMethod(directories: CgroupDirectories): FreezeMethod | null;
  remove(directories: CgroupDirectories): Promise<boolean>;
}

export function hostProbes(trial: CgroupTrial): CapabilityProbes {
  const cgroup = once(() => tryCgroup(trial));
  return {
    libc: () => {
      libc();
      return ok("the C library answers");
    },
    waiting_thread: tryWaitingThread,
    pidfd: () => {
      closeSync(openPidfd(process.pid));
      return ok("pidfd_open works");
    },
    exit_status: tryExitStatus,
    proc_connector: tryProcConnector,
    kmsg: () => {
      closeSync(openKmsg("end"));
      return ok("/dev/kmsg can be read");
    },
    psi: () => {
      if (readPressure(HOST_MEMORY_PRESSURE)) return ok(`${HOST_MEMORY_PRESSURE} can be read`);
      return missing(`${HOST_MEMORY_PRESSURE} cannot be read: the kernel measures no pressure`);
    },
    psi_trigger: () => {
      closeSync(openPressureTrigger(HOST_MEMORY_PRESSURE));
      return ok("a trigger of 150 ms in 2 s was taken");
    },
    cgroup_memory: async () => (await cgroup()).memory,
    freezer: async () => (await cgroup()).freezer,
    cgroup_kill: async () => (await cgroup()).kill,
    other_users: () =>
      otherUsers(readFileSync("/proc/self/status", "latin1"), existsSync("/proc/1")),
  };
}

const ok = (reason: string): Found => ({ state: "ok", reason });
const degraded = (reason: string): Found => ({ state: "degraded", reason });
const missing = (reason: string): Found => ({ state: "missing", reason });

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

async function tryWaitingThread(): Promise<Found> {
  const watcher = await startWatcher({ onError: () => {} });
  await watcher.stop();
  return ok("a thread waited in epoll_wait");
}

const TRIAL_STATUS = 7;

async function tryExitStatus(): Promise<Found> {
  const child = Bun.spawn(["/bin/sh", "-c", `exit ${TRIAL_STATUS}`], {
    stdio: ["ignore", "ignore", "ignore"],
    env: {},
  });
  // It is not reaped before this thread comes back to its loop.
  const fd = openPidfd(child.pid);
  try {
    await child.exited;
    const status = pidfdExit(fd);
    if (status !== null && decodeWaitStatus(status).exitCode === TRIAL_STATUS) {
      return ok("PIDFD_GET_INFO tells the status of ended processes");
    }
    return degraded("PIDFD_GET_INFO does not tell it; it is known only from process events");
  } finally {
    closeSync(fd);
  }
}

async function tryProcConnector(): Promise<Found> {
  const connector = await openProcConnector();
  connector.close();
  closeSync(connector.fd);
  return ok("the death of a child was told");
}

interface CgroupFindings {
  memory: Found;
  freezer: Found;
  kill: Found;
}

async function tryCgroup(trial: CgroupTrial): Promise<CgroupFindings> {
  const { directories, missing: lacking } = trial.create();
  try {
    return {
      memory: memoryOf(directories, lacking),
      freezer: freezerOf(trial.freezeMethod(directories)),
      kill: killOf(directories),
    };
  } finally {
    await trial.remove(directories);
  }
}

function memoryOf(
  { memory, memoryVersion }: CgroupDirectories,
  lacking: { hierarchy: string; reason: string }[],
): Found {
  if (memory !== null) return ok(`cgroup v${memoryVersion} counts and limits memory`);
  const reason = lacking.find((part) => part.hierarchy === "memory")?.reason;
  return missing(reason ?? "no memory controller is mounted");
}

function freezerOf(method: FreezeMethod | null): Found {
  if (method !== null && method !== "SIGSTOP") return ok(`${method} can be written`);
  return degraded("no freezer can be written; SIGSTOP stops process after process instead");
}

function killOf({ unified }: CgroupDirectories): Found {
  const instead = "SIGKILL ends process after process instead, until none is left";
  if (unified === null) return degraded(`no cgroup v2; ${instead}`);
  try {
    accessSync(join(unified, "cgroup.kill"), constants.W_OK);
    return ok("cgroup.kill can be written");
  } catch {
    return degraded(`cgroup.kill cannot be written; ${instead}`);
  }
}

const CAP_SYS_PTRACE = 19n;

/** From the text of /proc/self/status, and whether process 1 can be seen. */
export function otherUsers(status: string, seesFirst: boolean): Found {
  if (!seesFirst) return missing("/proc is mounted with hidepid and shows no others");
  const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? "0";
  if (((BigInt(`0x${effective}`) >> CAP_SYS_PTRACE) & 1n) === 1n) {
    return ok("CAP_SYS_PTRACE is there");
  }
  return degraded("without CAP_SYS_PTRACE only agents of this user are known fully");
}
