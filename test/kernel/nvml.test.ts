// GPUs: against a stand-in of the driver's library, built by the compiler here, because tests cannot count on a GPU.

import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readGpusApart } from "../../src/kernel/gpu-helper.ts";
import { NVML_LIBRARIES, readGpus } from "../../src/kernel/nvml.ts";

const SOURCE = join(import.meta.dir, "../fixtures/kernel/fake-nvml.c");
const directory = mkdtempSync(join(tmpdir(), "observer-nvml-"));
afterAll(() => rmSync(directory, { recursive: true }));

const compiler = Bun.which("cc") ?? Bun.which("gcc");
if (compiler === null) console.log("skipped: no C compiler to build the stand-in of NVML");

function library(...defines: string[]): string {
  const path = join(directory, `libnvidia-ml${defines.join("")}.so.1`);
  const flags = ["-shared", "-fPIC", "-O1", "-o", path, ...defines, SOURCE];
  const ran = Bun.spawnSync([compiler ?? "", ...flags]);
  if (!ran.success) throw new Error(ran.stderr.toString());
  return path;
}

const FIRST = {
  index: 0,
  name: "NVIDIA H200",
  uuid: "GPU-1",
  memory: { totalBytes: 150_754_820_096, freeBytes: 150_000_000_000, usedBytes: 754_820_096 },
  utilisationPercent: 87,
  temperatureCelsius: 61,
  powerWatts: 345.678,
  processes: [
    { pid: 4242, usedBytes: 5_368_709_120 },
    { pid: 4243, usedBytes: null },
    { pid: 4244, usedBytes: null },
  ],
};
const SECOND = {
  index: 1,
  name: "NVIDIA Tiny",
  uuid: "GPU-2",
  memory: null,
  utilisationPercent: null,
  temperatureCelsius: null,
  powerWatts: null,
  processes: [],
};

describe.skipIf(compiler === null)("readGpus with the stand-in", () => {
  test("reads every field; what a GPU does not say is null", () => {
    const path = library();
    for (let round = 0; round < 2; round += 1) {
      expect(readGpus(["/nonexistent", path])).toEqual({ gpus: [FIRST, SECOND], reason: null });
    }
  });

  test("an older driver lists processes by its older name", () => {
    const { gpus } = readGpus([library("-DOLD_DRIVER")]);
    expect(gpus[0]?.processes).toEqual(FIRST.processes.slice(0, 2));
  });

  test("a driver that is not loaded says so, and is asked again", () => {
    const path = library("-DNO_DRIVER");
    for (let round = 0; round < 2; round += 1) {
      expect(readGpus([path])).toEqual({ gpus: [], reason: "nvmlInit_v2: Driver Not Loaded" });
    }
  });

  test("readGpusApart asks in another process, no longer than it may", async () => {
    const path = library();
    const module = join(import.meta.dir, "../../src/kernel/nvml.ts");
    const script = `console.log(JSON.stringify((await import(${JSON.stringify(module)})).readGpus([${JSON.stringify(path)}])))`;
    const options = { timeoutMs: 20_000, libraries: [path] };
    const command = [process.execPath, "-e", script];
    expect(await readGpusApart(command, options)).toEqual({ gpus: [FIRST, SECOND], reason: null });
    const hung = await readGpusApart(["/bin/sleep", "60"], { ...options, timeoutMs: 50 });
    expect(hung.gpus).toEqual([]);
    expect(hung.reason).toContain("50 ms");
    const broken = await readGpusApart(["/nonexistent"], options);
    expect(broken.reason).toContain("helper");
  });
});

test("without the library there are no GPUs and a reason, and nothing is started", async () => {
  const none = { gpus: [], reason: "libnvidia-ml.so.1 is not installed: no NVIDIA driver" };
  expect(readGpus(["/nonexistent"])).toEqual(none);
  const options = { timeoutMs: 50, libraries: ["/nonexistent"] };
  expect(await readGpusApart(["/nonexistent"], options)).toEqual(none);
});

test("a file that is no library is a reason", () => {
  const path = join(directory, "broken.so.1");
  writeFileSync(path, "no library");
  expect(readGpus([path])).toMatchObject({ gpus: [], reason: expect.stringContaining(path) });
});

test("the library is looked for by absolute path only", () => {
  expect(NVML_LIBRARIES.filter((path) => !path.startsWith("/"))).toEqual([]);
});
