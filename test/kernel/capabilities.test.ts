// What the host lets observer do: on this host, and on hosts that lack one thing each.

import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import type { CgroupDirectories, FreezeMethod } from "../../src/core/agent.ts";
import { ObserverError } from "../../src/core/errors.ts";
import {
  CAPABILITY_NAMES,
  type CapabilityProbes,
  probeCapabilities,
} from "../../src/kernel/capabilities.ts";
import { hostProbes, otherUsers } from "../../src/kernel/capability-probes.ts";

const fine = Object.fromEntries(
  CAPABILITY_NAMES.map((name) => [name, () => ({ state: "ok", reason: "it works" })]),
) as unknown as CapabilityProbes;

const none: CgroupDirectories = {
  unified: null,
  memory: null,
  memoryVersion: null,
  freezer: null,
};

function trial(directories: CgroupDirectories, freeze: FreezeMethod | null) {
  let [made, removed] = [0, 0];
  return {
    create: () => {
      made += 1;
      return { directories, missing: [{ hierarchy: "memory", reason: "not handed down" }] };
    },
    freezeMethod: () => freeze,
    remove: async () => {
      removed += 1;
      return true;
    },
    counts: () => [made, removed],
  };
}

describe("probeCapabilities", () => {
  test("a healthy host lacks nothing and is given no advice", async () => {
    const found = await probeCapabilities(fine);
    expect(found.map(({ name }) => name)).toEqual([...CAPABILITY_NAMES]);
    expect(found.filter(({ state, fix }) => state !== "ok" || fix !== undefined)).toEqual([]);
    expect(found.filter(({ purpose, reason }) => purpose === "" || reason === "")).toEqual([]);
  });

  for (const name of CAPABILITY_NAMES) {
    test(`${name} that fails is missing with its reason, and nothing else is`, async () => {
      const probes: CapabilityProbes = {
        ...fine,
        [name]: () => {
          throw new ObserverError("unavailable", "because of the test");
        },
      };
      const lacking = (await probeCapabilities(probes)).filter(({ state }) => state !== "ok");
      expect(lacking).toHaveLength(1);
      expect(lacking[0]).toMatchObject({ name, state: "missing", reason: "because of the test" });
      // Only a thread cannot be had by a setting.
      expect(lacking[0]?.fix === undefined).toBe(name === "waiting_thread");
    });
  }
});

test("advice that does not mend this reason is left out", async () => {
  const unmended = new ObserverError("unavailable", "another namespace", { detail: { fix: null } });
  const probes: CapabilityProbes = { ...fine, proc_connector: () => Promise.reject(unmended) };
  const found = (await probeCapabilities(probes)).find(({ state }) => state === "missing");
  expect(found?.reason).toBe("another namespace");
  expect(found?.fix).toBeUndefined();
});

describe("hostProbes", () => {
  test("on this host every feature is tried, and nothing stays open", async () => {
    const open = (): number => readdirSync("/proc/self/fd").length;
    const host = trial(none, null);
    await probeCapabilities(hostProbes(host));
    const before = open();
    const found = await probeCapabilities(hostProbes(host));
    expect(open()).toBeLessThanOrEqual(before + 1);
    expect(found.find(({ name }) => name === "libc")?.state).toBe("ok");
    expect(found.find(({ name }) => name === "waiting_thread")?.state).toBe("ok");
    for (const { name, state, reason } of found) console.log(`${name}: ${state}: ${reason}`);
  });

  test("the cgroup is made once and removed, and says what it can", async () => {
    const host = trial({ ...none, memory: "/m", memoryVersion: 1 }, "freezer");
    const { cgroup_memory, freezer, cgroup_kill } = hostProbes(host);
    expect((await cgroup_memory()).reason).toContain("v1");
    expect((await freezer()).state).toBe("ok");
    expect((await cgroup_kill()).state).toBe("degraded");
    expect(host.counts()).toEqual([1, 1]);
    const poor = hostProbes(trial({ ...none, unified: "/nonexistent" }, null));
    expect(await poor.cgroup_memory()).toEqual({ state: "missing", reason: "not handed down" });
    expect((await poor.freezer()).state).toBe("degraded");
    expect((await poor.cgroup_kill()).state).toBe("degraded");
  });

  test("otherUsers goes by the effective capabilities and hidepid", () => {
    const status = (capabilities: string): string => `Name:\tx\nCapEff:\t${capabilities}\n`;
    expect(otherUsers(status("000001ffffffffff"), true).state).toBe("ok");
    expect(otherUsers(status("0000000000080000"), true).state).toBe("ok");
    expect(otherUsers(status("0000000000000000"), true).state).toBe("degraded");
    expect(otherUsers(status("000001ffffffffff"), false).state).toBe("missing");
    expect(otherUsers("", true).state).toBe("degraded");
  });
});
