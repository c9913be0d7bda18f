// The proc connector of the real kernel: what it tells, what it leaves out, and why it cannot be had.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync } from "node:fs";
import { join } from "node:path";
import { createEventfd, signalEventfd } from "../../src/kernel/eventfd.ts";
import { libc } from "../../src/kernel/libc.ts";
import { monotonicMs } from "../../src/kernel/monotonic.ts";
import { openProcConnector, procEventsOf } from "../../src/kernel/proc-connector.ts";
import type { ProcEvent } from "../../src/kernel/structs/proc-event.ts";
import { EPOLL, startWatcher, type Watch, type Watcher } from "../../src/kernel/watcher.ts";
import { until } from "../support/daemon.ts";

const why = await openProcConnector().then(
  (connector) => {
    connector.close();
    closeSync(connector.fd);
    return null;
  },
  (thrown: unknown) => String(thrown),
);
if (why !== null) console.log(`skipped: ${why}`);

const SOL_SOCKET = 1;
const SO_RCVBUF = 8;

let watcher: Watcher;
beforeAll(async () => {
  watcher = await startWatcher({ onError: (message) => expect(message).toBe("") });
});
afterAll(() => watcher.stop());

async function listen(): Promise<{ events: ProcEvent[]; watch: Watch; end(): void }> {
  const connector = await openProcConnector();
  const events: ProcEvent[] = [];
  const watch = watcher.watch(connector.fd, {
    events: EPOLL.IN,
    drain: true,
    bulk: true,
    onWake: (wake) => events.push(...procEventsOf(wake)),
  });
  return {
    events,
    watch,
    end() {
      connector.close();
      watch.cancel();
    },
  };
}

describe.skipIf(why !== null)("the proc connector", () => {
  test("tells fork, exec and exit of a process with its parent, status and time", async () => {
    const { events, end } = await listen();
    const beforeMs = monotonicMs();
    // Two commands, so that the shell does not become the first.
    const child = Bun.spawn(["sh", "-c", "(exit 5); kill -TERM $$"]);
    await child.exited;
    const exit = await until("its exit is told", () =>
      events.find((event) => event.what === "exit" && event.pid === child.pid),
    );
    const afterMs = monotonicMs();
    expect(exit).toMatchObject({ ppid: process.pid, exitStatus: 15 });
    expect(exit.atMs).toBeWithin(beforeMs, afterMs);
    const own = events.filter((event) => event.pid === child.pid);
    expect(own.map((event) => event.what)).toEqual(["fork", "exec", "exit"]);
    const grandchild = events.find((event) => event.what === "fork" && event.ppid === child.pid);
    const ended = events.find((event) => event.what === "exit" && event.pid === grandchild?.pid);
    expect(ended).toMatchObject({ ppid: child.pid, exitStatus: 5 << 8 });
    end();
  });

  test("leaves threads out", async () => {
    const { events, end } = await listen();
    // The runtime starts several threads by itself.
    const child = Bun.spawn([process.execPath, "-e", "await Bun.sleep(20)"], { env: {} });
    await child.exited;
    await until("its exit is told", () =>
      events.some((event) => event.what === "exit" && event.pid === child.pid),
    );
    const own = events.filter((event) => event.pid === child.pid || event.ppid === child.pid);
    expect(own.map((event) => event.what)).toEqual(["fork", "exec", "exit"]);
    end();
  });

  test("says that events were lost when the buffer was too small", async () => {
    const connector = await openProcConnector();
    const resize = (bytes: number): number =>
      libc().setsockopt(connector.fd, SOL_SOCKET, SO_RCVBUF, new Int32Array([bytes]), 4);
    // The kernel makes it its smallest.
    expect(resize(1)).toBe(0);
    const events: ProcEvent[] = [];
    for (let round = 0; round < 20; round += 1) Bun.spawnSync(["sh", "-c", "(:);(:);(:)"]);
    const watch = watcher.watch(connector.fd, {
      events: EPOLL.IN,
      drain: true,
      bulk: true,
      onWake: (wake) => events.push(...procEventsOf(wake)),
    });
    await until("the loss is told", () => events.some((event) => event.what === "lost"));
    // It goes on after that; with room, because others start processes here as well.
    resize(2 ** 20);
    const child = Bun.spawn(["sh", "-c", ":"]);
    await child.exited;
    await until("the next is told", () => events.some((event) => event.pid === child.pid));
    connector.close();
    connector.close();
    watch.cancel();
  });

  test("a fork storm is told whole, and keeps no other wake waiting for long", async () => {
    const { events, end } = await listen();
    const lateMs: number[] = [];
    let signalledMs = 0;
    const fd = createEventfd();
    const edge = watcher.watch(fd, {
      events: EPOLL.IN,
      onWake: (wake) => lateMs.push(wake.atMs - signalledMs),
    });
    const child = Bun.spawn(["sh", "-c", "i=0; while [ $i -lt 2000 ]; do (:); i=$((i+1)); done"]);
    while (child.exitCode === null) {
      const told = lateMs.length;
      signalledMs = monotonicMs();
      signalEventfd(fd);
      await until("it is told", () => lateMs.length > told);
    }
    const born = (): number[] =>
      events.flatMap(({ what, pid, ppid }) => (what === "fork" && ppid === child.pid ? [pid] : []));
    await until("each birth is told", () => born().length === 2_000);
    // The last exits may be told after that of the parent, which has reaped them.
    await until("each end is told", () => {
      const ended = new Set(events.flatMap(({ what, pid }) => (what === "exit" ? [pid] : [])));
      return born().every((pid) => ended.has(pid));
    });
    expect(events.some((event) => event.what === "lost")).toBe(false);
    const sorted = lateMs.sort((one, other) => one - other);
    const median = sorted[sorted.length >> 1] ?? Number.NaN;
    console.log(`wake during a fork storm: median ${median.toFixed(3)} ms of ${sorted.length}`);
    edge.cancel();
    end();
  });
});

const canUnshare = Bun.spawnSync(["unshare", "-n", "true"], { stderr: "ignore" }).success;
if (!canUnshare) console.log("skipped: other namespaces need root and unshare");

describe.skipIf(why !== null || !canUnshare)("openProcConnector says why not", () => {
  const module = join(import.meta.dir, "../../src/kernel/proc-connector.ts");
  const script = `try { await (await import(${JSON.stringify(module)})).openProcConnector(); } catch (error) { console.log(error.code, error.message); }`;
  const cases: [string, string[], string][] = [
    ["in another network namespace", ["-n"], "network namespace"],
    ["in another pid namespace", ["-p", "-f"], "first pid namespace"],
  ];
  for (const [name, flags, words] of cases) {
    test(name, () => {
      const ran = Bun.spawnSync(["unshare", ...flags, process.execPath, "-e", script]);
      expect(ran.stdout.toString()).toStartWith("unavailable ");
      expect(ran.stdout.toString()).toContain(words);
    });
  }

  test("without CAP_NET_ADMIN it is unavailable, or works where the kernel allows it", () => {
    if (Bun.which("setpriv") === null) return console.log("skipped: setpriv is missing");
    const drop = ["--bounding-set", "-net_admin", "--inh-caps", "-net_admin"];
    const ran = Bun.spawnSync(["setpriv", ...drop, process.execPath, "-e", script]);
    expect(ran.stdout.toString()).toMatch(/^$|^unavailable .*CAP_NET_ADMIN/);
  });
});
