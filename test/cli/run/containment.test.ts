// How a run is held together: its own cgroup and a limit that the real kernel enforces; a scope; nothing at all.

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { contain } from "../../../src/cli/offline/run/containment.ts";
import { scopeCommand, scopePrefix } from "../../../src/cli/offline/run/scope.ts";
import { instanceName } from "../../../src/config/instance-name.ts";
import { newId } from "../../../src/core/ids.ts";
import { findCgroupMounts } from "../../../src/kernel/cgroup.ts";
import { removeRunCgroup } from "../../../src/kernel/run-cgroup.ts";
import { findCgroups } from "../../../src/kernel/cgroup-sweep.ts";
import { until } from "../../support/daemon.ts";
import { createRoom, type Room, run } from "./kit.ts";

// Programs are started, which takes seconds on a machine that is busy with other tests.
setDefaultTimeout(60_000);

const NO_SCOPE = { uid: 0, systemdRun: null, systemdDirectory: "/nonexistent" };

const canLimit = await (async () => {
  const request = { runId: newId(), parentName: instanceName("/nonexistent/can-limit") };
  const tried = await contain({ ...request, memoryLimitBytes: 64 * 1024 * 1024 }, NO_SCOPE);
  await tried.release();
  if (tried.memoryLimitBytes === null)
    console.log(`skipped: no memory limit here: ${tried.reason}`);
  return tried.memoryLimitBytes !== null;
})();

/** Cgroups that runs of this room have left. */
const leftBy = (room: Room): string[] => findCgroups(findCgroupMounts(), instanceName(room.data));

const rooms: Room[] = [];
function room(): Room {
  const made = createRoom();
  rooms.push(made);
  return made;
}
afterAll(async () => {
  for (const made of rooms) {
    // What was left behind may take a moment to be gone.
    await until("the cgroups of the test are gone", async () => {
      for (const memory of leftBy(made)) {
        await removeRunCgroup({ memory, memoryVersion: 1, freezer: null, unified: null });
      }
      return leftBy(made).length === 0;
    });
    made[Symbol.dispose]();
  }
});

describe.skipIf(!canLimit)("a cgroup of its own", () => {
  test("holds CMD from its first instruction, is told on stderr, and is gone afterwards", async () => {
    const here = room();
    const ran = await run(here, ["--memory-max", "200M", "--", "cat", "/proc/self/cgroup"]);
    const id = /observer run: (\w{13}) in a cgroup of its own/.exec(ran.err)?.[1];
    expect(id).toBeString();
    expect(ran.err).toContain("memory limit 200.0 MiB");
    const lines = ran.text.split("\n").filter((line) => /^0::|:(memory|freezer):/.test(line));
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) expect(line).toEndWith(`/${instanceName(here.data)}/run-${id}`);
    expect(leftBy(here)).toEqual([]);
  });

  test("ends a hog at the limit with 137, and the kernel's count is kept in the spool", async () => {
    const here = room();
    const hog =
      "const all = []; for (let i = 0; i < 30; i++) all.push(new Uint8Array(10 << 20).fill(1));";
    const ran = await run(here, ["--memory-max", "100M", "--", process.execPath, "-e", hog]);
    expect(ran.status).toBe(137);
    expect(leftBy(here)).toEqual([]);
    const id = /observer run: (\w{13})/.exec(ran.err)?.[1];
    const spooled = readFileSync(join(here.data, "spool", `run-${id}.ndjson`), "utf8");
    const events = spooled
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const oom = events.find(({ kind }) => kind === "oom_kill");
    expect(oom).toMatchObject({ constraint: "memcg", memory_limit_bytes: 100 * 1024 * 1024 });
    expect(events.find(({ kind }) => kind === "process_exit")).toMatchObject({ signal: "SIGKILL" });
  });

  test("what CMD leaves behind keeps its cgroup; CMD's end is not held up", async () => {
    const here = room();
    const ran = await run(here, [
      "--quiet",
      "--",
      "sh",
      "-c",
      "sleep 30 >/dev/null 2>&1 & echo $!",
    ]);
    const orphan = Number(ran.text);
    expect(leftBy(here)).not.toEqual([]);
    process.kill(orphan, "SIGKILL");
  });
});

/** A systemd-run that does what `script` says. */
function fakeSystemd(here: Room, script: string) {
  const systemdRun = join(here.work, "systemd-run");
  writeFileSync(systemdRun, `#!/bin/sh\n${script}\n`);
  chmodSync(systemdRun, 0o755);
  return { uid: 1000, systemdRun, systemdDirectory: here.work };
}

describe("a scope of systemd", () => {
  const request = { runId: "r1", memoryLimitBytes: 5 * 1024 * 1024 };

  test("is asked for with the limit, of the user's own manager unless it is root's", () => {
    const host = { uid: 1000, systemdRun: "/usr/bin/systemd-run", systemdDirectory: "/" };
    const command = scopeCommand(request, { host, extra: ["OOMPolicy=continue"] });
    expect(command.join(" ")).toBe(
      "/usr/bin/systemd-run --scope --quiet --collect --user -p MemoryMax=5242880 -p MemorySwapMax=0 -p OOMPolicy=continue --",
    );
    const asRoot = scopeCommand(
      { ...request, memoryLimitBytes: null },
      { host: { ...host, uid: 0 }, extra: [] },
    );
    expect(asRoot).not.toContain("--user");
    expect(asRoot).not.toContain("-p");
  });

  test("is used once a trial has worked, without OOMPolicy where that is not known", async () => {
    const here = room();
    const log = join(here.work, "log");
    const host = fakeSystemd(
      here,
      `echo "$@" >> ${log}; case "$*" in *OOMPolicy*) echo no such property >&2; exit 1;; esac; while [ "$1" != -- ]; do shift; done; shift; exec "$@"`,
    );
    const found = await scopePrefix(request, host);
    expect("prefix" in found && found.prefix.slice(-2)).toEqual(["--unit=observer-run-r1", "--"]);
    expect(JSON.stringify(found)).not.toContain("OOMPolicy");
    expect(readFileSync(log, "utf8").trim().split("\n")).toHaveLength(2);
  });

  test("is not used when systemd does not run, refuses or does not answer", async () => {
    const here = room();
    expect(await scopePrefix(request, NO_SCOPE)).toEqual({ refused: "systemd is not running" });
    const refuses = fakeSystemd(here, "echo Failed to connect to bus >&2; exit 1");
    expect(JSON.stringify(await scopePrefix(request, refuses))).toContain("connect to bus");
    const silent = fakeSystemd(here, "exec sleep 60");
    expect(JSON.stringify(await scopePrefix(request, silent))).toContain("no answer");
  });
});

describe("nothing to hold it with", () => {
  test("is said, and a limit that cannot be set is said loudly; CMD runs all the same", async () => {
    const contained = await contain(
      // A name that no cgroup can have.
      { runId: "../x", parentName: "observer-none", memoryLimitBytes: 1 },
      NO_SCOPE,
    );
    expect(contained.kind).toBe("group");
    expect(contained.memoryLimitBytes).toBeNull();
    expect(contained.reason).toContain("systemd is not running");
    expect(contained.start((cgroup) => cgroup)).toEqual({ child: undefined, problem: null });
    expect(await contained.release()).toBe(true);
  });

  test("a cgroup that cannot be entered does not keep CMD from starting", async () => {
    const contained = await contain(
      { runId: newId(), parentName: "observer-entered", memoryLimitBytes: null },
      NO_SCOPE,
    );
    if (contained.kind !== "cgroup") return;
    try {
      const started = contained.start((cgroup) => {
        if (cgroup !== undefined) throw new Error("cannot join");
        return "outside";
      });
      expect(started).toEqual({ child: "outside", problem: "cannot join" });
      // This process is where it was before.
      expect(readFileSync("/proc/self/cgroup", "utf8")).not.toContain("observer-entered");
    } finally {
      expect(await contained.release()).toBe(true);
    }
  });
});

describe("the workspace", () => {
  test("is the working directory, and none where that is refused; both are said", async () => {
    const here = room();
    mkdirSync(join(here.work, "deep"));
    expect((await run(here, ["--", "true"])).err).toContain(`workspace ${here.work}`);
    const named = await run(here, ["--workspace", "deep", "--", "true"]);
    expect(named.err).toContain(`workspace ${join(here.work, "deep")}`);
    for (const directory of ["/etc", "/", here.env["HOME"] ?? "", "absent"]) {
      const ran = await run(here, ["--workspace", directory, "--", "true"]);
      expect(ran.status).toBe(0);
      expect(ran.err).toContain("no workspace: ");
      expect(ran.err).not.toContain(", workspace ");
    }
    expect(existsSync(join(here.data, "spool"))).toBe(true);
  });
});
