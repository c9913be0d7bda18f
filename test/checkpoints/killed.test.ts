// kill -9 of observer, with and without its helper, at random instants of create and restore.

import { afterAll, expect, test } from "bun:test";
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Checkpoint } from "../../src/core/checkpoint.ts";
import { exactWalk, setAttributeAt } from "../support/exact-walk.ts";
import { createRandom, type Random } from "../support/random.ts";
import { openKit } from "../support/persistent-kit.ts";
import { createSaver } from "../support/saver.ts";
import { QUICK_PLACE } from "../support/temp-directory.ts";

const KILLS = Bun.env["OBSERVER_TEST_LONG"] === "1" ? 100 : 30;
/** As many at a time as this many processors do well. */
const LANES = 2;
/** A turn of the program, a restore and a checkpoint, takes some 0.5 s. */
const KILL_MS_MAX = 700;
/** Writing what differs takes about this long. */
const WORK_MS_MAX = 80;
/** What the program needs to start. */
const START_MS = 100;
const SETTLE_MS = 20_000;
const PATIENCE_MS = 600_000;
const PROGRAM = Bun.fileURLToPath(import.meta.resolve("../support/programs/checkpointer.ts"));

const roots: string[] = [];
afterAll(() => {
  for (const root of roots) rmSync(root, { recursive: true, force: true });
});

/** Two states that differ in everything that a restore does, and their checkpoints. */
async function prepare(root: string) {
  const kit = openKit(root);
  const at = (name: string): string => join(kit.workspace, name);
  const fill = (state: string): void => {
    for (let index = 0; index < 200; index += 1) {
      mkdirSync(at(`d${index % 6}/${state}`), { recursive: true });
      writeFileSync(at(`d${index % 6}/f${index}`), `${state} ${index}`.repeat(500));
      writeFileSync(at(`d${index % 6}/${state}/only${index}`), state);
    }
    rmSync(at("one"), { force: true });
    rmSync(at("two"), { force: true });
    writeFileSync(at("one"), state);
    linkSync(at("one"), at("two"));
    truncateSync(at("one"), 1_000_000);
    setAttributeAt(Buffer.from(at("d0")), "user.state", Buffer.from(state));
  };
  const save = async (): Promise<Checkpoint> =>
    await kit.service.create({ workspace: kit.workspace, kind: "manual", reason: "manual" });
  fill("first");
  const states = [exactWalk(kit.workspace)];
  const saved = [await save()];
  for (let index = 0; index < 6; index += 1) rmSync(at(`d${index}/first`), { recursive: true });
  fill("second");
  states.push(exactWalk(kit.workspace));
  saved.push(await save());
  await kit.close();
  return { states, ids: saved.map(({ id }) => id) };
}

/** Children of a process, by the kernel's own list. */
function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
      .split(" ")
      .filter(Boolean)
      .map(Number);
  } catch {
    return [];
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It was faster.
  }
}

/** Waits until a restore has begun, and some of the time that it takes. */
async function beginningOfRestore(root: string, random: Random): Promise<void> {
  const journals = join(root, "data/checkpoints/restores");
  const end = performance.now() + SETTLE_MS;
  const begun = (): boolean =>
    existsSync(journals) && readdirSync(journals).some((name) => name.endsWith(".json"));
  while (!begun() && performance.now() < end) await Bun.sleep(1);
  await Bun.sleep(random.below(WORK_MS_MAX));
}

async function killOnce(root: string, ids: string[], random: Random): Promise<void> {
  const program = Bun.spawn([process.execPath, PROGRAM, root, ...ids], {
    stdout: "ignore",
    stderr: "ignore",
  });
  if (random.below(2) === 0) await Bun.sleep(START_MS + random.below(KILL_MS_MAX));
  else await beginningOfRestore(root, random);
  const helpers = childrenOf(program.pid);
  program.kill("SIGKILL");
  // A helper alone goes on, and the next observer must get along with it.
  if (random.below(2) === 0) for (const pid of helpers) kill(pid);
  await program.exited;
}

/** As after a restart: until nothing is open, as the call of every minute does. */
async function recovered(root: string): Promise<ReturnType<typeof openKit>> {
  const kit = openKit(root);
  const open = (): Checkpoint[] => kit.rows.list({ status: ["pending", "unknown"] });
  const journals = join(kit.directory, "restores");
  const end = performance.now() + SETTLE_MS;
  do {
    await kit.service.recover();
    if (open().length > 0) await Bun.sleep(50);
  } while (open().length > 0 && performance.now() < end);
  expect(open()).toEqual([]);
  expect(existsSync(journals) ? readdirSync(journals) : []).toEqual([]);
  return kit;
}

async function lane(kills: number, seed: number): Promise<{ restored: number; failed: number }> {
  const root = mkdtempSync(join(QUICK_PLACE, "observer-killed-"));
  roots.push(root);
  const random = createRandom(seed);
  const { states, ids } = await prepare(root);
  const texts = states.map((state) => JSON.stringify(state));
  let restored = 0;
  for (let round = 0; round < kills; round += 1) {
    await killOnce(root, ids, random);
    const kit = await recovered(root);
    restored += kit.logged.filter((line) => line.includes("interrupted restore finished")).length;
    const now = exactWalk(kit.workspace);
    // The difference to the nearer one tells more than that it is neither.
    if (!texts.includes(JSON.stringify(now))) expect(now).toEqual(states[0] ?? {});
    await kit.close();
  }
  const kit = openKit(root);
  const rows = kit.rows.list({ status: ["ok", "partial"] });
  expect(rows.length).toBeGreaterThan(2);
  const saver = createSaver(kit.workspace, kit.directory);
  for (const row of rows) {
    expect(row.verified).toBe(true);
    saver.verify(row);
  }
  const failed = kit.rows.list({ status: ["failed"] }).length;
  await kit.close();
  return { restored, failed };
}

test(
  "after kill -9 at random instants every checkpoint verifies and the workspace is one state, whole",
  async () => {
    const seed = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
    const lanes = Array.from({ length: LANES }, (_, index) => lane(KILLS / LANES, seed + index));
    const done = await Promise.all(lanes);
    // With this many, some hit a restore at work.
    const finished = done.reduce((sum, { restored }) => sum + restored, 0);
    console.log(`${KILLS} kills, ${finished} restores were finished afterwards, seed ${seed}`);
    expect(finished).toBeGreaterThan(0);
  },
  PATIENCE_MS,
);
