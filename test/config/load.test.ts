// Configuration: precedence, legacy names, and every problem at once.

import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ObserverError } from "../../src/core/errors.ts";
import { loadConfig, type LoadInput } from "../../src/config/load.ts";
import type { SettingProblem } from "../../src/config/settings.ts";
import { withTempDirectory } from "../support/temp-directory.ts";

const BARE: LoadInput = { flags: {}, environment: {}, cwd: "/srv", uid: 0 };

function load(input: Partial<LoadInput>) {
  return loadConfig({ ...BARE, ...input });
}

function withFile<T>(name: string, text: string, run: (path: string) => T): Promise<T> {
  return withTempDirectory((directory) => {
    const path = join(directory, name);
    writeFileSync(path, text);
    return run(path);
  });
}

function problemsOf(run: () => unknown): SettingProblem[] {
  try {
    run();
  } catch (thrown) {
    return (thrown as ObserverError).detail["problems"] as SettingProblem[];
  }
  throw new Error("expected problems");
}

test("loadConfig prefers flag over environment over file over default, and says so", () =>
  withFile("c.toml", 'port = 1001\ncycle_s = 7\n[log]\nlevel = "debug"\n', (file) => {
    const environment = { OBSERVER_PORT: "1002", OBSERVER_CYCLE: "9" };
    const { settings, origins } = load({ file, environment, flags: { port: "1003" } });
    expect(settings.port).toBe(1003);
    expect(settings.cycle_s).toBe(9);
    expect(settings["log.level"]).toBe("debug");
    expect(settings["alert.severity"]).toBe("medium");
    expect(origins["port"]).toBe("flag port");
    expect(origins["cycle_s"]).toBe("environment OBSERVER_CYCLE");
    expect(origins["log.level"]).toBe(`file ${file}`);
    expect(Object.isFrozen(settings)).toBe(true);
  }));

test.each([
  ["c.yaml", "reactive:\n  enabled: true\n  debounce_ms: 45s\n"],
  ["c.json", '{"reactive":{"enabled":true,"debounce_ms":"45s"}}'],
  ["c.toml", '[reactive]\nenabled = true\ndebounce_ms = "45s"\n'],
])("loadConfig reads %s by its ending", (name, text) =>
  withFile(name, text, (file) => {
    const { settings } = load({ file });
    expect(settings["reactive.enabled"]).toBe(true);
    expect(settings["reactive.debounce_ms"]).toBe(45_000);
  }),
);

test("loadConfig reads the seed's file, warns of foreign keys and converts seconds", () =>
  withFile(
    "agent.json",
    '{"reactive":{"enabled":true,"debounce_secs":12,"workspace":"/srv/ws"},"cmdline":{}}',
    (file) => {
      const { settings, warnings } = load({ file });
      expect(settings["reactive.enabled"]).toBe(true);
      expect(settings["reactive.debounce_ms"]).toBe(12_000);
      expect(settings.workspaces).toEqual(["/srv/ws"]);
      expect(warnings).toEqual([`${file}: "cmdline" is not observer's and is ignored`]);
    },
  ));

test("loadConfig names every problem at once: field, value, rule, nearest name", () =>
  withFile("c.toml", 'prot = 1\n[reactive]\ndebounce_ms = "soon"\n', (file) => {
    const problems = problemsOf(() =>
      load({ file, environment: { OBSERVER_LOG_LEVEL: "loud" }, flags: { port: "70000" } }),
    );
    expect(
      problems.map(({ field, value, rule }) => `${field.split(" ")[0]} ${value} ${rule}`),
    ).toEqual([
      'prot 1 is not a setting; did you mean "port"?',
      'reactive.debounce_ms "soon" must be a duration such as 30s or 10m',
      'log.level "loud" must be one of error, warn, info, debug',
      'port "70000" must be between 0 and 65535',
    ]);
  }));

test("loadConfig makes paths absolute and finds the data directory as documented", () => {
  expect(load({}).settings.data_dir).toBe("/var/lib/observer");
  expect(load({ environment: { STATE_DIRECTORY: "/a:/b" } }).settings.data_dir).toBe("/a");
  expect(load({ uid: 1000, environment: { XDG_STATE_HOME: "/x" } }).settings.data_dir).toBe(
    "/x/observer",
  );
  const { settings } = load({ flags: { data_dir: "d", workspaces: ["w", "/v/"] } });
  expect(settings.data_dir).toBe("/srv/d");
  expect(settings.workspaces).toEqual(["/srv/w", "/v"]);
});

test("loadConfig takes a secret's value from a file named by the environment", () =>
  withFile("url", "http://gateway:1\n", (file) => {
    const { settings } = load({ environment: { OBSERVER_GATEWAY_URL_FILE: file } });
    expect(settings.gateway_url).toBe("http://gateway:1");
  }));

test.each(["absent.toml", "bad.toml", "list.json", "x.ini"])(
  "loadConfig refuses %s with its name",
  (name) =>
    withTempDirectory((directory) => {
      writeFileSync(join(directory, "bad.toml"), "= 1");
      writeFileSync(join(directory, "list.json"), "[]");
      writeFileSync(join(directory, "x.ini"), "");
      expect(() => load({ file: join(directory, name) })).toThrow(name);
    }),
);
