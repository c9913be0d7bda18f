// `observer run` as a process of its own, from source, in a room that goes with it.

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { instanceName } from "../../../src/config/instance-name.ts";
import { findCgroupMounts } from "../../../src/kernel/cgroup.ts";
import { findCgroups } from "../../../src/kernel/cgroup-sweep.ts";
import { removeRunCgroup } from "../../../src/kernel/run-cgroup.ts";
import { until } from "../../support/daemon.ts";

export const MAIN = [process.execPath, join(import.meta.dir, "../../../src/main.ts")];

export interface Room extends Disposable {
  /** The working directory of runs. */
  work: string;
  /** The data directory; nothing is in it. */
  data: string;
  env: Record<string, string>;
}

export function createRoom(): Room {
  const path = mkdtempSync(join(tmpdir(), "observer-run-"));
  const work = join(path, "work");
  mkdirSync(work);
  return {
    work,
    data: join(path, "data"),
    env: { PATH: process.env["PATH"] ?? "", HOME: path, LANG: "C.UTF-8" },
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}

export interface Ran {
  status: number;
  out: Uint8Array;
  text: string;
  err: string;
}

export interface Options {
  stdin?: Uint8Array;
  env?: Record<string, string>;
  cwd?: string;
  /** Stands in front of `observer`. */
  before?: string[];
}

/** The command line of `observer run` with the room's data directory. */
export function commandOf(room: Room, args: string[]): string[] {
  return [...MAIN, "run", "--data", room.data, ...args];
}

/** Starts it with piped streams. */
export function startRun(room: Room, args: string[], options: Options = {}) {
  return Bun.spawn([...(options.before ?? []), ...commandOf(room, args)], {
    cwd: options.cwd ?? room.work,
    env: { ...room.env, ...options.env },
    stdin: options.stdin ?? "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

export async function run(room: Room, args: string[], options: Options = {}): Promise<Ran> {
  const child = startRun(room, args, options);
  const [out, err] = await Promise.all([child.stdout.bytes(), child.stderr.text()]);
  return { status: await child.exited, out, text: new TextDecoder().decode(out), err };
}

/** Cgroups that runs of this room have left. */
export function leftBy(room: Room): string[] {
  return findCgroups(findCgroupMounts(), instanceName(room.data));
}

/** Removes them, once whoever lived in them is gone. */
export async function removeCgroupsOf(room: Room): Promise<void> {
  await until("the cgroups of the test are gone", async () => {
    for (const memory of leftBy(room)) {
      await removeRunCgroup({ memory, memoryVersion: 1, freezer: null, unified: null });
    }
    return leftBy(room).length === 0;
  });
}
