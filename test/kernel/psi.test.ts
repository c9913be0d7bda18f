// Pressure stall information: the text, the file of this host, and triggers.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { closeSync, existsSync } from "node:fs";
import { join } from "node:path";
import {
  HOST_MEMORY_PRESSURE,
  openPressureTrigger,
  parsePressure,
  readPressure,
} from "../../src/kernel/psi.ts";
import { EPOLL, startWatcher, type Wake, type Watcher } from "../../src/kernel/watcher.ts";
import { until } from "../support/daemon.ts";
import { makeCgroup } from "../support/kernel-feature.ts";

test("parsePressure reads both lines, one line, and no number", () => {
  const some = "some avg10=12.50 avg60=1.00 avg300=0.00 total=77\n";
  expect(parsePressure(`${some}full avg10=3.00 avg60=0 avg300=0 total=1\n`)).toEqual({
    someAvg10: 12.5,
    fullAvg10: 3,
  });
  expect(parsePressure(some)).toEqual({ someAvg10: 12.5, fullAvg10: 0 });
  expect(parsePressure("")).toBeNull();
  expect(readPressure("/nonexistent")).toBeNull();
});

test.skipIf(!existsSync(HOST_MEMORY_PRESSURE))("readPressure reads this host's", () => {
  const pressure = readPressure(HOST_MEMORY_PRESSURE);
  expect(pressure?.someAvg10).toBeWithin(0, 100.01);
  expect(pressure?.fullAvg10).toBeWithin(0, 100.01);
});

test("openPressureTrigger says why not", () => {
  expect(() => openPressureTrigger("/nonexistent/memory.pressure")).toThrow("measures no pressure");
});

function canTrigger(): boolean {
  try {
    closeSync(openPressureTrigger(HOST_MEMORY_PRESSURE));
    return true;
  } catch (thrown) {
    console.log(`skipped: ${String(thrown)}`);
    return false;
  }
}

const unified = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].find((path) =>
  existsSync(join(path, "cgroup.controllers")),
);
if (unified === undefined) console.log("skipped: no cgroup v2");
const cgroup = canTrigger() && unified !== undefined ? makeCgroup(unified, "psi") : undefined;
const pressureFile = join(cgroup?.path ?? "", "memory.pressure");
const hasFile = cgroup !== undefined && existsSync(pressureFile);
if (cgroup && !hasFile) console.log("skipped: cgroups here have no memory.pressure");

let watcher: Watcher | undefined;
beforeAll(async () => {
  if (hasFile) watcher = await startWatcher({ onError: (message) => expect(message).toBe("") });
});
afterAll(async () => {
  await watcher?.stop();
  await cgroup?.remove();
});

test.skipIf(!hasFile)(
  "the trigger of a cgroup that is removed ends, and does not spin",
  async () => {
    const wakes: Wake[] = [];
    const watch = watcher?.watch(openPressureTrigger(pressureFile), {
      events: EPOLL.PRI,
      onWake: (wake) => wakes.push(wake),
    });
    await cgroup?.remove();
    const last = await until("the end is told", () => wakes.find(({ ended }) => ended));
    expect(last.events & EPOLL.ERR).toBe(EPOLL.ERR);
    const before = process.cpuUsage();
    const count = wakes.length;
    await Bun.sleep(300);
    const { user, system } = process.cpuUsage(before);
    expect(wakes.length).toBe(count);
    expect((user + system) / 1_000).toBeLessThan(150);
    watch?.cancel();
  },
);
