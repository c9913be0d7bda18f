import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { join } from "node:path";
import {
  ancestorsOf,
  cgroupsOf,
  directoriesOf,
  directoryIn,
  findCgroupMounts,
  isWithin,
  NO_CGROUPS,
} from "../../src/kernel/cgroup.ts";
import { parseMountinfo, pathsOfProcess } from "../../src/kernel/structs/mountinfo.ts";
import { writeCgroupTree } from "../support/cgroups.ts";
import { withTempDirectory } from "../support/temp-directory.ts";

const V2 = (mountPoint: string, root = "/", options = "rw,nosuid"): string =>
  `30 23 0:26 ${root} ${mountPoint} ${options} shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n`;
const V1 = (mountPoint: string, controllers: string, root = "/"): string =>
  `32 31 0:29 ${root} ${mountPoint} rw,relatime shared:9 - cgroup cgroup rw,xattr,${controllers}\n`;

describe("parseMountinfo", () => {
  test("reads escapes, several controllers and named hierarchies", () => {
    const [one, other] = parseMountinfo(
      `${V1("/a\\040b\\134c\\011d", "cpu,cpuacct")}${V1("/named", "name=systemd")}22 27 0:21 / /proc rw - proc proc rw\n`,
    );
    expect(one).toEqual({
      version: 1,
      controllers: ["cpu", "cpuacct"],
      mountPoint: "/a b\\c\td",
      root: "/",
      readOnly: false,
    });
    expect(other?.controllers).toEqual([]);
  });

  test("takes the later of two mounts at one place, also when that is no cgroup", () => {
    const over = "40 30 0:40 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n";
    expect(parseMountinfo(V2("/sys/fs/cgroup") + over)).toEqual([]);
    const again = parseMountinfo(V1("/x", "memory") + V2("/x"));
    expect(again.map(({ version }) => version)).toEqual([2]);
  });

  test("sees read-only in the mount and in the file system", () => {
    const [one, other] = parseMountinfo(
      `${V2("/one", "/", "ro,nosuid")}1 1 0:1 / /other rw - cgroup2 cgroup2 ro\n`,
    );
    expect([one?.readOnly, other?.readOnly]).toEqual([true, true]);
  });

  test("never throws", () => {
    fc.assert(fc.property(fc.string(), (text) => void parseMountinfo(text)));
    fc.assert(fc.property(fc.string(), (text) => void pathsOfProcess(text)));
  });
});

describe("pathsOfProcess", () => {
  test("reads colons in paths and controllers that share a hierarchy", () => {
    const { unified, controllers } = pathsOfProcess("5:cpu,memory:/a:b\n1:name=x:/n\n0::/c:d e\n");
    expect(unified).toBe("/c:d e");
    expect([controllers.get("cpu"), controllers.get("memory")]).toEqual(["/a:b", "/a:b"]);
  });

  test("leaves out a cgroup that was removed", () => {
    expect(pathsOfProcess("0::/gone (deleted)\n").unified).toBeUndefined();
  });
});

describe("directoryIn", () => {
  const at = (root: string, path: string) =>
    directoryIn({ version: 2, controllers: [], mountPoint: "/m", root, readOnly: false }, path);

  test("joins the path to the mount point", () => {
    expect(at("/", "/")).toBe("/m");
    expect(at("/", "/a/b")).toBe("/m/a/b");
  });

  test("takes off the root of a mount that shows a part", () => {
    expect(at("/docker/1", "/docker/1")).toBe("/m");
    expect(at("/docker/1", "/docker/1/x")).toBe("/m/x");
    expect(at("/docker/1", "/docker/12")).toBeNull();
    expect(at("/docker/1", "/")).toBeNull();
  });

  test("is null outside of our cgroup namespace", () => {
    expect(at("/", "/../other")).toBeNull();
    expect(at("/..", "/../../other")).toBeNull();
    // The mount was made outside, and shows our neighbours.
    expect(at("/..", "/../other")).toBe("/m/other");
    expect(at("/..", "/x")).toBeNull();
  });
});

describe("findCgroupMounts and directoriesOf", () => {
  test("pure v2: memory is where the files are, here or above", () =>
    withTempDirectory((root) => {
      writeCgroupTree(root, {
        "cgroup.controllers": "cpu memory pids\n",
        "user.slice/memory.current": "5\n",
        "user.slice/a.scope/cgroup.procs": "7\n",
      });
      const mounts = findCgroupMounts(V2(root));
      expect(mounts).toMatchObject({ memoryVersion: 2, freezer: null });
      expect(mounts.memory).toBe(mounts.unified);
      expect(directoriesOf("0::/user.slice/a.scope\n", mounts)).toEqual({
        unified: join(root, "user.slice/a.scope"),
        memory: join(root, "user.slice"),
        memoryVersion: 2,
        freezer: null,
      });
      expect(directoriesOf("0::/\n", mounts)).toMatchObject({ memory: null, memoryVersion: null });
      expect(directoriesOf("0::/../x\n", mounts)).toEqual(NO_CGROUPS);
    }));

  test("hybrid: v1 counts memory, v2 has no controller", () =>
    withTempDirectory((root) => {
      writeCgroupTree(root, {
        "memory/cgroup.procs": "",
        "freezer/cgroup.procs": "",
        "unified/cgroup.controllers": "",
      });
      const text = `${V1(join(root, "memory"), "memory")}${V1(join(root, "freezer"), "freezer")}${V2(join(root, "unified"))}`;
      const mounts = findCgroupMounts(text);
      expect(mounts.memoryVersion).toBe(1);
      expect(directoriesOf("4:memory:/m\n6:freezer:/\n0::/u\n", mounts)).toEqual({
        unified: join(root, "unified/u"),
        memory: join(root, "memory/m"),
        memoryVersion: 1,
        freezer: join(root, "freezer"),
      });
    }));

  test("pure v1, seen from a container without a cgroup namespace", () =>
    withTempDirectory((root) => {
      writeCgroupTree(root, { "memory/cgroup.procs": "", "memory/inner/cgroup.procs": "" });
      const mounts = findCgroupMounts(V1(join(root, "memory"), "memory", "/docker/abc"));
      expect(mounts.unified).toBeNull();
      const of = (path: string) => directoriesOf(`4:memory:${path}\n`, mounts).memory;
      expect(of("/docker/abc/inner")).toBe(join(root, "memory/inner"));
      expect(of("/docker/other")).toBeNull();
    }));

  test("the host's view of a container is a deeper path", () =>
    withTempDirectory((root) => {
      const path = "system.slice/docker-abc.scope/inner";
      writeCgroupTree(root, {
        "cgroup.controllers": "memory\n",
        [`${path}/memory.current`]: "1\n",
      });
      const mounts = findCgroupMounts(V2(root));
      expect(directoriesOf(`0::/${path}\n`, mounts).memory).toBe(join(root, path));
    }));

  test("prefers a mount that can be written, then one that shows all", () =>
    withTempDirectory((root) => {
      for (const name of ["a", "b", "c"]) writeCgroupTree(root, { [`${name}/cgroup.procs`]: "" });
      const mounts = findCgroupMounts(
        V2(join(root, "a"), "/", "ro") + V2(join(root, "b"), "/x") + V2(join(root, "c")),
      );
      expect(mounts.unified?.mountPoint).toBe(join(root, "c"));
    }));

  test("ignores mounts that are not there, and a host without any", () => {
    expect(findCgroupMounts(V2("/nowhere"))).toEqual({
      unified: null,
      memory: null,
      memoryVersion: null,
      freezer: null,
    });
    expect(findCgroupMounts("")).toMatchObject({ unified: null, memory: null });
  });

  test("cgroupsOf names directories that hold this process, and none of one that is gone", async () => {
    const mounts = findCgroupMounts();
    const own = cgroupsOf(process.pid, mounts);
    for (const directory of [own.unified, own.freezer])
      if (directory !== null)
        expect(await Bun.file(`${directory}/cgroup.procs`).text()).toMatch(
          new RegExp(`^${process.pid}$`, "m"),
        );
    expect(cgroupsOf(2 ** 30, mounts)).toEqual(NO_CGROUPS);
  });
});

test("ancestorsOf stops at the mount point, isWithin at whole names", () =>
  withTempDirectory((root) => {
    writeCgroupTree(root, {
      "m/cgroup.procs": "",
      "m/a/cgroup.procs": "",
      "m/a/b/cgroup.procs": "",
    });
    expect(ancestorsOf(join(root, "m/a/b"))).toEqual(
      ["m/a/b", "m/a", "m"].map((path) => join(root, path)),
    );
    expect(isWithin("/m/a", "/m/a")).toBe(true);
    expect(isWithin("/m/a/b", "/m/a")).toBe(true);
    expect(isWithin("/m/ab", "/m/a")).toBe(false);
  }));
