// The waiting thread on the real kernel: what it stamps, what it does by itself, how it ends.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  writeSync,
} from "node:fs";
import { ObserverError } from "../../src/core/errors.ts";
import { createEventfd, signalEventfd } from "../../src/kernel/eventfd.ts";
import { checked, libc } from "../../src/kernel/libc.ts";
import { monotonicMs } from "../../src/kernel/monotonic.ts";
import { openPidfd, pidfdExit } from "../../src/kernel/pidfd.ts";
import { EPOLL, startWatcher, type Wake, type Watcher } from "../../src/kernel/watcher.ts";
import { until } from "../support/daemon.ts";

const errors: string[] = [];
let watcher: Watcher;
beforeAll(async () => {
  watcher = await startWatcher({ onError: (message) => void errors.push(message) });
});
afterAll(() => watcher.stop());

const O_DIRECT = 0x4000;
const NON_BLOCKING = 0x80800;

/** Both ends non-blocking. With `packets` each write is one read. */
function pipe(packets = false): [read: number, write: number] {
  const fds = new Int32Array(2);
  checked("pipe2", libc().pipe2(fds, NON_BLOCKING | (packets ? O_DIRECT : 0)));
  return [fds[0] ?? -1, fds[1] ?? -1];
}

/** What can be read now; empty when there is nothing. */
function readNow(fd: number): string {
  const buffer = Buffer.alloc(1_024);
  try {
    return buffer.toString("utf8", 0, readSync(fd, buffer));
  } catch {
    return "";
  }
}

function isOpen(fd: number): boolean {
  try {
    readlinkSync(`/proc/self/fd/${fd}`);
    return true;
  } catch {
    return false;
  }
}

/** What an epoll set of this process waits for; nothing for other files. */
function epollMembers(fd: number): number[] {
  try {
    const info = readFileSync(`/proc/self/fdinfo/${fd}`, "latin1");
    return [...info.matchAll(/^tfd:\s*(\d+)/gm)].map((match) => Number(match[1]));
  } catch {
    return [];
  }
}

/** Holds the event loop. */
function beBusy(milliseconds: number): void {
  const end = monotonicMs() + milliseconds;
  while (monotonicMs() < end);
}

function watchEventfd(onWake?: (wake: Wake) => void) {
  const fd = createEventfd();
  const wakes: Wake[] = [];
  const watch = watcher.watch(fd, {
    events: EPOLL.IN,
    onWake(wake) {
      wakes.push(wake);
      onWake?.(wake);
    },
  });
  return { fd, watch, wakes };
}

describe("wakes", () => {
  test("a death is stamped when it happens, however busy the main thread is", async () => {
    const child = Bun.spawn(["sleep", "0.3"]);
    const fd = openPidfd(child.pid);
    const wakes: Wake[] = [];
    const watch = watcher.watch(fd, { events: EPOLL.IN, onWake: (wake) => wakes.push(wake) });
    const startMs = monotonicMs();
    beBusy(1_000);
    await until("the death is told", () => wakes.length > 0);
    expect((wakes[0]?.atMs ?? 0) - startMs).toBeWithin(200, 900);
    await child.exited;
    await until("the reaping is told", () => wakes.some(({ events }) => events & EPOLL.HUP));
    expect(pidfdExit(fd)).toBeOneOf([0, null]);
    watch.cancel();
  });

  test("no signal is lost: after the last one the counter is looked at", async () => {
    const buffer = Buffer.alloc(8);
    let counted = 0n;
    const { fd, watch } = watchEventfd(() => {
      if (readSync(fd, buffer) === 8) counted += buffer.readBigUInt64LE();
    });
    for (let round = 0; round < 300; round += 1) {
      signalEventfd(fd);
      if (round % 7 === 0) await Bun.sleep(0);
      if (round % 31 === 0) beBusy(3);
    }
    await until("all are counted", () => counted === 300n);
    watch.cancel();
  });

  test("a storm of signals becomes few wakes", async () => {
    const { fd, watch, wakes } = watchEventfd();
    for (let round = 0; round < 50_000; round += 1) signalEventfd(fd);
    await until("it is told", () => wakes.length > 0);
    await Bun.sleep(50);
    expect(wakes.length).toBeLessThan(100);
    watch.cancel();
  });

  test("what an owner throws goes to onError and stops nobody else", async () => {
    const broken = watchEventfd(() => {
      throw new Error("owner's bug");
    });
    const healthy = watchEventfd();
    signalEventfd(broken.fd);
    signalEventfd(healthy.fd);
    await until("the other is told", () => healthy.wakes.length > 0);
    await until("the error is told", () => errors.some((error) => error.includes("owner's bug")));
    broken.watch.cancel();
    healthy.watch.cancel();
  });
});

describe("drained files", () => {
  test("each read is one chunk, all of them come, in order", async () => {
    const [read, write] = pipe(true);
    const chunks: string[] = [];
    const watch = watcher.watch(read, {
      events: EPOLL.IN,
      drain: true,
      onWake: (wake) => chunks.push(...wake.chunks.map((chunk) => Buffer.from(chunk).toString())),
    });
    const sent: string[] = [];
    for (let index = 0; index < 500; index += 1) {
      const text = `${index}:${"x".repeat(index % 50)}`;
      writeSync(write, text);
      sent.push(text);
      // The pipe holds 16 packets.
      if (index % 10 === 0) await until("these came", () => chunks.length === sent.length);
    }
    await until("all came", () => chunks.length === sent.length);
    expect(chunks).toEqual(sent);
    watch.cancel();
    closeSync(write);
  });

  test("the end of a file is told once, and the thread does not spin", async () => {
    const [read, write] = pipe();
    const wakes: Wake[] = [];
    const watch = watcher.watch(read, {
      events: EPOLL.IN,
      drain: true,
      onWake: (wake) => wakes.push(wake),
    });
    writeSync(write, "last");
    closeSync(write);
    await until("the end is told", () => wakes.some(({ ended }) => ended));
    const before = process.cpuUsage();
    const count = wakes.length;
    await Bun.sleep(300);
    const { user, system } = process.cpuUsage(before);
    expect(wakes.length).toBe(count);
    expect(wakes.flatMap(({ chunks }) => chunks).map(String)).toHaveLength(1);
    // Spinning would be 300 ms.
    expect((user + system) / 1_000).toBeLessThan(150);
    watch.cancel();
  });
});

describe("reflexes", () => {
  test("armed writes are done in order before the main thread is free", async () => {
    const [read, write] = pipe(true);
    const { fd, watch, wakes } = watchEventfd();
    const steps = ["to the guardian", "1", "FROZEN"].map((text) => ({
      fd: write,
      bytes: Buffer.from(text),
    }));
    expect(watch.arm(steps)).toBe(true);
    await Bun.sleep(20);
    expect(readNow(read)).toBe("");
    signalEventfd(fd);
    const seen: string[] = [];
    const deadline = monotonicMs() + 5_000;
    // The event loop gets no turn in here.
    while (seen.length < 3 && monotonicMs() < deadline) {
      const text = readNow(read);
      if (text) seen.push(text);
    }
    expect(seen).toEqual(["to the guardian", "1", "FROZEN"]);
    expect(wakes).toEqual([]);
    expect([watch.disarm(), watch.arm(steps)]).toEqual([false, false]);
    await until("it is told", () => wakes.length > 0);
    expect(wakes[0]).toMatchObject({ acted: true, complete: true });
    signalEventfd(fd);
    await until("the next is told", () => wakes.length > 1);
    expect([wakes[1]?.acted, wakes[1]?.complete, readNow(read)]).toEqual([false, false, ""]);
    expect([watch.disarm(), watch.arm(steps), watch.disarm()]).toEqual([true, true, true]);
    watch.cancel();
    closeSync(read);
    closeSync(write);
  });

  test("a step that fails stops the ones after it, and the wake says so", async () => {
    const [read, write] = pipe();
    const { fd, watch, wakes } = watchEventfd();
    // The reading end cannot be written to.
    const steps = [read, write].map((fd) => ({ fd, bytes: Buffer.from("x") }));
    watch.arm(steps);
    signalEventfd(fd);
    await until("it is told", () => wakes.length > 0);
    expect([wakes[0]?.acted, wakes[0]?.complete, readNow(read)]).toEqual([true, false, ""]);
    watch.cancel();
    closeSync(read);
    closeSync(write);
  });

  test("disarm and the thread never both win", async () => {
    const [read, write] = pipe(true);
    const { fd, watch, wakes } = watchEventfd();
    const step = { fd: write, bytes: Buffer.from("x") };
    const won = { main: 0, thread: 0 };
    for (let round = 0; round < 150; round += 1) {
      const told = wakes.length;
      expect(watch.arm([step])).toBe(true);
      signalEventfd(fd);
      beBusy((round % 10) * 0.01);
      const disarmed = watch.disarm();
      await until("it is told", () => wakes.length > told);
      expect(wakes.slice(told).some(({ acted }) => acted)).toBe(!disarmed);
      expect(readNow(read)).toBe(disarmed ? "" : "x");
      won[disarmed ? "main" : "thread"] += 1;
    }
    expect(won.main + won.thread).toBe(150);
    watch.cancel();
    closeSync(read);
    closeSync(write);
  });

  test("what was performed is told even when the watch was cancelled meanwhile", async () => {
    const [read, write] = pipe();
    const { fd, watch, wakes } = watchEventfd();
    watch.arm([{ fd: write, bytes: Buffer.from("x") }]);
    signalEventfd(fd);
    const deadline = monotonicMs() + 5_000;
    while (readNow(read) === "" && monotonicMs() < deadline);
    watch.cancel();
    await until("it is told", () => wakes.length > 0);
    expect(wakes.map(({ acted }) => acted)).toEqual([true]);
    closeSync(read);
    closeSync(write);
  });
});

test("the thread comes first where it may, the main thread does not", () => {
  if (process.geteuid?.() !== 0) return console.log("skipped: raising a priority needs root");
  // Field 19 of stat, after the name.
  const nice = (task: string): number =>
    Number(readFileSync(`/proc/self/task/${task}/stat`, "latin1").split(") ")[1]?.split(" ")[16]);
  expect(nice(String(process.pid))).toBe(0);
  const first = readdirSync("/proc/self/task").filter((task) => nice(task) === -20);
  expect(first).not.toBeEmpty();
});

describe("endings", () => {
  test("cancel ends the wakes at once and closes the file later", async () => {
    const { fd, watch, wakes } = watchEventfd();
    signalEventfd(fd);
    watch.cancel();
    watch.cancel();
    expect(isOpen(fd)).toBe(true);
    signalEventfd(fd);
    await Bun.sleep(50);
    expect(wakes).toEqual([]);
    expect([watch.arm([{ fd, bytes: Buffer.from("x") }]), watch.disarm()]).toEqual([false, true]);
    await until("it is closed", () => !isOpen(fd));
  });

  test("a slot is used again without news of what it was before", async () => {
    for (let round = 0; round < 3; round += 1) {
      const all = Array.from({ length: 50 }, () => watchEventfd());
      for (const { fd } of all) signalEventfd(fd);
      await until("each is told", () => all.every(({ wakes }) => wakes.length === 1));
      for (const { watch } of all) watch.cancel();
    }
  });

  test("a file that cannot be waited for stays the caller's", () => {
    const fd = openSync("/etc/passwd", "r");
    expect(() => watcher.watch(fd, { events: EPOLL.IN, onWake: () => {} })).toThrow("EPERM");
    closeSync(fd);
  });

  test("stop closes what is watched and ends the thread; nothing can be watched then", async () => {
    const own = await startWatcher({ onError: (message) => void errors.push(message) });
    const fd = createEventfd();
    own.watch(fd, { events: EPOLL.IN, onWake: () => {} });
    expect(own.state()).toBe("running");
    await Promise.all([own.stop(), own.stop()]);
    expect([own.state(), isOpen(fd)]).toEqual(["stopped", false]);
    expect(() => own.watch(0, { events: EPOLL.IN, onWake: () => {} })).toThrow(ObserverError);
  });

  test("the death of the thread is told, and is a state", async () => {
    const said: string[] = [];
    const own = await startWatcher({ onError: (message) => void said.push(message) });
    const fd = createEventfd();
    own.watch(fd, { events: EPOLL.IN, onWake: () => {} });
    // The set that holds this eventfd, and the set that holds that one; the runtime has sets of its own.
    const setWith = (member: number): number =>
      readdirSync("/proc/self/fdinfo")
        .map(Number)
        .find((set) => epollMembers(set).includes(member)) ?? -1;
    const waitsOn = setWith(setWith(fd));
    // It is replaced by a file in which nothing can be waited for.
    closeSync(waitsOn);
    expect(openSync("/dev/null", "r")).toBe(waitsOn);
    signalEventfd(fd);
    await until("it is told", () => said.length > 0);
    expect(said[0]).toContain("epoll_wait");
    expect(own.state()).toBe("failed");
    expect(() => own.watch(fd, { events: EPOLL.IN, onWake: () => {} })).toThrow("gone");
    await own.stop();
    expect(own.state()).toBe("stopped");
  });
});
