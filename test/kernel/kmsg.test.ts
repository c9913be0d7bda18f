// The kernel's log: recorded records of real OOM kills, and the log of this host.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import {
  type KmsgRecord,
  openKmsg,
  parseKmsg,
  parseOomConstraint,
  parseOomLine,
} from "../../src/kernel/kmsg.ts";
import { EPOLL, startWatcher, type Watcher } from "../../src/kernel/watcher.ts";
import { until } from "../support/daemon.ts";
import { makeCgroup } from "../support/kernel-feature.ts";

const RECORDED = join(import.meta.dir, "../fixtures/kernel/kmsg-oom.txt");
const recorded = readFileSync(RECORDED, "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => parseKmsg(Buffer.from(`${line}\n`)))
  .filter((record) => record !== null);

describe("records of two real kills in a v1 memory cgroup (Linux 6.18)", () => {
  test("parseKmsg reads number, level, facility, time and text", () => {
    expect(recorded).toHaveLength(23);
    expect(recorded[1]).toEqual({
      seq: 7858,
      priority: 4,
      fromKernel: true,
      atUs: 13325382694,
      text: "hog invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
    });
  });

  test("parseOomLine finds both victims; the line that a program wrote is not the kernel's", () => {
    const found = recorded.flatMap((record) => {
      const kill = parseOomLine(record.text);
      return kill ? [{ ...kill, fromKernel: record.fromKernel }] : [];
    });
    const bytes = { anonRssBytes: 48_896 * 1024, totalVmBytes: 51_748 * 1024 };
    expect(found).toEqual([
      {
        victimPid: 1,
        comm: "init",
        global: false,
        anonRssBytes: 1024,
        totalVmBytes: 1024,
        fromKernel: false,
      },
      { victimPid: 5572, comm: "hog", global: false, ...bytes, fromKernel: true },
      { victimPid: 5573, comm: "hog) (x", global: false, ...bytes, fromKernel: true },
    ]);
  });

  test("parseOomConstraint says whose limit it was", () => {
    const found = recorded.flatMap(({ text }) => parseOomConstraint(text) ?? []);
    const cgroup = "/observer-wait-rec";
    expect(found).toEqual(
      [
        [5572, "hog"],
        [5573, "hog) (x"],
      ].map(([victimPid, comm]) => ({
        victimPid: Number(victimPid),
        uid: 0,
        comm: String(comm),
        global: false,
        limitCgroup: cgroup,
        victimCgroup: cgroup,
      })),
    );
  });
});

describe("lines of other kernels and of hostile names", () => {
  test("a global kill, as mm/oom_kill.c writes it", () => {
    expect(
      parseOomLine(
        "Out of memory: Killed process 104 (hog) total-vm:2097152kB, anon-rss:1048576kB, file-rss:0kB, shmem-rss:0kB, UID:1000 pgtables:4kB oom_score_adj:0",
      ),
    ).toEqual({
      victimPid: 104,
      comm: "hog",
      global: true,
      anonRssBytes: 2 ** 30,
      totalVmBytes: 2 ** 31,
    });
    expect(
      parseOomConstraint(
        "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/a,b,task=x,y,pid=104,uid=1000",
      ),
    ).toEqual({
      victimPid: 104,
      uid: 1000,
      comm: "x,y",
      global: true,
      limitCgroup: null,
      victimCgroup: "/a,b",
    });
  });

  test("any name of up to 15 bytes is read back, and no number of it is taken", () => {
    const name = fc
      .uint8Array({ minLength: 1, maxLength: 15 })
      .filter((bytes) => !bytes.includes(0));
    fc.assert(
      fc.property(name, fc.nat(4_194_304), (bytes, pid) => {
        // As the kernel escapes it.
        const escaped = [...bytes]
          .map((byte) =>
            byte < 0x20 || byte >= 0x7f || byte === 0x5c
              ? `\\x${byte.toString(16).padStart(2, "0")}`
              : String.fromCharCode(byte),
          )
          .join("");
        const line = `Memory cgroup out of memory: Killed process ${pid} (${escaped}) total-vm:5kB, anon-rss:7kB, file-rss:0kB`;
        const record = parseKmsg(Buffer.from(`3,9,1000,-,caller=T1;${line}\n SUBSYSTEM=x\n`));
        expect(record).toMatchObject({ seq: 9, fromKernel: true });
        expect(parseOomLine(record?.text ?? "")).toEqual({
          victimPid: pid,
          comm: Buffer.from(bytes).toString("utf8"),
          global: false,
          totalVmBytes: 5 * 1024,
          anonRssBytes: 7 * 1024,
        });
      }),
    );
  });

  test("a name that stands at the start of a line passes for no kill", () => {
    for (const text of [
      "Out of memory: [7]: segfault at 0 ip 0 sp 0 error 4 in x",
      "x Memory cgroup out of memory: Killed process 1 (init) total-vm:1kB, anon-rss:1kB",
    ]) {
      expect([parseOomLine(text), parseOomConstraint(text)]).toEqual([null, null]);
    }
  });

  test("parseKmsg takes any bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void parseKmsg(bytes)));
    expect([parseKmsg(Buffer.from("")), parseKmsg(Buffer.from("x;y"))]).toEqual([null, null]);
  });
});

test("openKmsg says why not", () => {
  expect(() => openKmsg("end", "/nonexistent/kmsg")).toThrow("no such file");
});

const cgroup = canRead() ? makeCgroup("/sys/fs/cgroup/memory", "kmsg") : undefined;
let watcher: Watcher | undefined;
beforeAll(async () => {
  if (cgroup) watcher = await startWatcher({ onError: (message) => expect(message).toBe("") });
});
afterAll(async () => {
  await watcher?.stop();
  await cgroup?.remove();
});

function canRead(): boolean {
  try {
    closeSync(openKmsg("end"));
    return true;
  } catch (thrown) {
    console.log(`skipped: ${String(thrown)}`);
    return false;
  }
}

test.skipIf(!cgroup)(
  "a real OOM kill is read from the log, and `start` has what is past",
  async () => {
    const path = cgroup?.path ?? "";
    writeFileSync(join(path, "memory.limit_in_bytes"), String(32 * 2 ** 20));
    const records: KmsgRecord[] = [];
    const onWake = ({ chunks }: { chunks: Uint8Array[] }): void => {
      records.push(...chunks.map(parseKmsg).filter((record) => record !== null));
    };
    const options = { events: EPOLL.IN, drain: true, onWake };
    const live = watcher?.watch(openKmsg("end"), options);
    const command = `echo $$ > ${path}/cgroup.procs; exec tail /dev/zero`;
    const child = Bun.spawn(["sh", "-c", command], { stderr: "ignore" });
    await child.exited;
    expect(child.signalCode).toBe("SIGKILL");
    const killOf = (): KmsgRecord | undefined =>
      records.find(({ text }) => parseOomLine(text)?.victimPid === child.pid);
    const kill = await until("the kernel names its victim", killOf);
    expect(kill.fromKernel).toBe(true);
    expect(parseOomLine(kill.text)).toMatchObject({ comm: "tail", global: false });
    live?.cancel();
    records.length = 0;
    const past = watcher?.watch(openKmsg("start"), options);
    expect((await until("it is read again", killOf)).seq).toBe(kill.seq);
    past?.cancel();
  },
);
