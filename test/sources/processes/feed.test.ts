// What happens when reports are lost, when the kernel stops reporting, and when events cannot be stored.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { openSync } from "node:fs";
import type { EventDraft, Receipt } from "../../../src/core/event.ts";
import type { Wake, WatchOptions, Watcher } from "../../../src/kernel/watcher.ts";
import { createKernelFeed } from "../../../src/sources/processes/kernel-feed.ts";
import { createOutbox } from "../../../src/sources/processes/outbox.ts";
import { createMetrics } from "../../../src/telemetry/metrics.ts";
import { createFakeLog } from "../../support/clock.ts";

setDefaultTimeout(30_000);

const QUIET: Wake = {
  events: 1,
  atMs: 0,
  chunks: [],
  acted: false,
  complete: false,
  lost: 0,
  ended: false,
};

function feedWith({ state = "running" as ReturnType<Watcher["state"]>, fails = false } = {}) {
  let wake: WatchOptions["onWake"] = () => undefined;
  let losses = 0;
  let closed = 0;
  const metrics = createMetrics();
  const watch = {
    arm: () => true,
    disarm: () => true,
    cancel: () => void (closed += 1),
  };
  const watcher: Watcher = {
    watch(_, options) {
      wake = options.onWake;
      return watch;
    },
    state: () => state,
    stop: () => Promise.resolve(),
  };
  const feed = createKernelFeed(
    {
      watcher,
      openProcConnector: fails
        ? () => Promise.reject(new Error("CAP_NET_ADMIN is missing"))
        : () =>
            Promise.resolve({ fd: openSync("/dev/null", "r"), close: () => void (closed += 1) }),
      log: createFakeLog(),
      metrics,
    },
    {
      onFork: () => undefined,
      onExec: () => undefined,
      onExit: () => undefined,
      onLost: () => void (losses += 1),
    },
  );
  return {
    feed,
    metrics,
    wake: (facts: Partial<Wake>) => wake({ ...QUIET, ...facts }),
    losses: () => losses,
    closed: () => closed,
  };
}

describe("createKernelFeed", () => {
  test("a loss is counted and leads to a look", async () => {
    const { feed, metrics, wake, losses } = feedWith();
    await feed.open();
    expect(feed.capability()).toMatchObject({ name: "proc_connector", state: "ok" });
    wake({});
    expect(losses()).toBe(0);
    wake({ lost: 2 });
    expect(losses()).toBe(1);
    expect(metrics.get("observer_process_events_lost_total")).toBe(1);
  });

  test("a report that ends is a reason to look more often", async () => {
    const { feed, wake, closed } = feedWith();
    await feed.open();
    expect(feed.isOpen()).toBe(true);
    wake({ ended: true });
    expect(feed.isOpen()).toBe(false);
    expect(closed()).toBe(2);
    expect(feed.capability()).toMatchObject({ state: "degraded", reason: "it broke" });
  });

  test("so is a waiting thread that died, and a kernel that does not let us", async () => {
    const dead = feedWith({ state: "failed" });
    await dead.feed.open();
    expect(dead.feed.isOpen()).toBe(false);
    expect(dead.feed.capability().reason).toContain("ended");
    const refused = feedWith({ fails: true });
    await refused.feed.open();
    expect(refused.feed.capability()).toMatchObject({
      state: "degraded",
      reason: "CAP_NET_ADMIN is missing",
    });
  });
});

describe("createOutbox", () => {
  const DRAFT: EventDraft = { kind: "process_exit", source: "kernel", id: "exit:1", data: {} };

  function outboxWith(receipts: Receipt[]) {
    let offers = 0;
    const log = createFakeLog();
    const offer = (): Promise<Receipt[]> => {
      const receipt = receipts[Math.min(offers, receipts.length - 1)];
      offers += 1;
      return Promise.resolve(receipt ? [receipt] : []);
    };
    return { outbox: createOutbox({ offer, log }), offers: () => offers, log };
  }
  const refused: Receipt = { status: "rejected", code: "overloaded", reason: "full" };

  test("offers again what was refused, and says when it is stored", async () => {
    const { outbox, offers } = outboxWith([refused, { status: "accepted", id: "x", seq: 1 }]);
    const stored = Promise.withResolvers<void>();
    outbox.tell(DRAFT, stored.resolve);
    await stored.promise;
    expect(offers()).toBe(2);
  });

  test("takes a fact that is stored already, or differs from what is stored, for told", async () => {
    const ends: Receipt[] = [
      { status: "duplicate", id: "x" },
      { status: "rejected", code: "conflict", reason: "differs" },
    ];
    for (const receipt of ends) {
      const stored = Promise.withResolvers<void>();
      outboxWith([receipt]).outbox.tell(DRAFT, stored.resolve);
      await stored.promise;
    }
  });

  test("gives up when observer stops, and does not call it stored", async () => {
    const { outbox, log } = outboxWith([refused]);
    let stored = false;
    outbox.stop();
    outbox.tell(DRAFT, () => void (stored = true));
    while (log.lines.length === 0) await Bun.sleep(5);
    expect(stored).toBe(false);
    expect(log.lines[0]).toContain("could not be stored");
  });
});
