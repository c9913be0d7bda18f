// The source tree under test: layers, words, reach, documents. The style is kept without anyone remembering it.

import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { METRICS } from "../src/telemetry/metrics.ts";
import { SETTINGS } from "../src/config/settings.ts";

const ROOT = join(import.meta.dir, "..");

function filesOf(pattern: string): string[] {
  return [...new Bun.Glob(pattern).scanSync({ cwd: ROOT, dot: false })]
    .filter((path) => !/(^|\/)(node_modules|dist|\.tools)\//.test(path))
    .sort();
}

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const SOURCES = filesOf("src/**/*.{ts,tsx}");
/** The page runs in a browser and has rules of its own. */
const PROGRAM = SOURCES.filter((path) => !path.startsWith("src/dashboard/page/"));

/** What each folder may import from, beside itself. `src` stands for the files directly in it. */
const LAYERS: Record<string, string[]> = {
  core: [],
  telemetry: ["core"],
  config: ["core", "telemetry"],
  kernel: ["core"],
  client: [],
  store: ["core", "config", "telemetry"],
  sources: ["core", "config", "telemetry", "kernel", "store"],
  detectors: ["core"],
  reactions: ["core", "config", "telemetry", "kernel", "store"],
  checkpoints: ["core", "config", "telemetry", "kernel", "store"],
  brakes: ["core", "config", "telemetry", "kernel", "store"],
  pipeline: ["core", "config", "telemetry", "kernel", "store"],
  dashboard: [],
  api: ["core", "config", "telemetry", "kernel", "store", "sources", "pipeline"],
  composition: ["*"],
  "observer.ts": ["*"],
  cli: ["*"],
  "main.ts": ["*"],
};

/** Packages that only one folder may know. */
const PACKAGES: Record<string, RegExp> = {
  diff: /^src\/checkpoints\//,
  elysia: /^src\/api\//,
  "bun:ffi": /^src\/kernel\//,
  "bun:sqlite": /^src\/(store|checkpoints\/store)\//,
  "@pydantic/genai-prices": /^src\/sources\//,
  "@sinclair/typebox": /^src\/(core|config|sources|api|detectors)\//,
};

function importsOf(path: string): string[] {
  const found = read(path).matchAll(
    /^\s*(?:import|export)\b[^"';]*?from\s+"([^"]+)"|^import\s+"([^"]+)"|\bimport\("([^"]+)"\)/gm,
  );
  return [...found].map((match) => match[1] ?? match[2] ?? match[3] ?? "");
}

const folderOf = (path: string): string => path.split("/")[1] ?? "";

const localImports = (path: string): string[] =>
  importsOf(path)
    .filter((name) => name.startsWith("."))
    .map((name) => normalize(join(dirname(path), name)));

describe("layers", () => {
  test("imports point down only, types included", () => {
    const wrong = PROGRAM.flatMap((path) => {
      const allowed = LAYERS[folderOf(path)] ?? ["(folder is in no layer)"];
      return localImports(path)
        .filter((target) => target.startsWith("src/") && folderOf(target) !== folderOf(path))
        .filter((target) => !allowed.includes("*") && !allowed.includes(folderOf(target)))
        .map((target) => `${path} imports ${target}`);
    });
    expect(wrong).toEqual([]);
  });

  test("packages are known where they belong", () => {
    const wrong = PROGRAM.flatMap((path) =>
      importsOf(path)
        .filter((name) => PACKAGES[name] && !PACKAGES[name].test(path))
        .map((name) => `${path} imports ${name}`),
    );
    expect(wrong).toEqual([]);
  });

  test("detectors and policy know neither clock nor system", () => {
    const pure = [
      ...PROGRAM.filter((path) => path.startsWith("src/detectors/")),
      "src/pipeline/policy.ts",
    ];
    const wrong = pure.filter(
      (path) =>
        /\bBun\.|\bprocess\.[a-z]/.test(read(path)) ||
        importsOf(path).some((name) => name.startsWith("node:")),
    );
    expect(wrong).toEqual([]);
  });

  test("there are no import cycles", () => {
    const state = new Map<string, "open" | "done">();
    const cycles: string[] = [];
    const visit = (path: string, trail: string[]): void => {
      if (state.get(path) === "done" || !existsSync(join(ROOT, path))) return;
      if (state.get(path) === "open") {
        cycles.push([...trail.slice(trail.indexOf(path)), path].join(" → "));
        return;
      }
      state.set(path, "open");
      if (/\.tsx?$/.test(path))
        for (const next of localImports(path)) visit(next, [...trail, path]);
      state.set(path, "done");
    };
    for (const path of SOURCES) visit(path, []);
    expect(cycles).toEqual([]);
  });

  test("every file is reached from main.ts or is a thread's entry", () => {
    const reached = new Set<string>();
    const visit = (path: string): void => {
      if (reached.has(path) || !existsSync(join(ROOT, path))) return;
      reached.add(path);
      if (/\.tsx?$/.test(path)) for (const next of localImports(path)) visit(next);
    };
    visit("src/main.ts");
    for (const path of PROGRAM.filter((path) => path.endsWith(".worker.ts"))) visit(path);
    const page = SOURCES.filter((path) => path.startsWith("src/dashboard/page/"));
    visit("src/dashboard/page/app.ts");
    const dead = [...PROGRAM, ...page].filter(
      (path) => !reached.has(path) && !path.endsWith(".d.ts"),
    );
    expect(dead).toEqual([]);
  });
});

/** A word, where it may stand all the same, and what to use instead. */
const BANNED: [RegExp, RegExp | null, string][] = [
  [/\bconsole\./, null, "telemetry/log.ts"],
  [/\bprocess\.env\b/, /^src\/main\.ts$/, "config/load.ts"],
  [/\bDate\.now\(/, /^src\/core\/clock\.ts$/, "a Clock"],
  [/\bMath\.random\(/, null, "crypto"],
  [/\bprocess\.exit\(/, /^src\/main\.ts$/, "a returned status"],
  [/\bFIXME\b|\bTODO\b/, null, "an issue"],
  [/@ts-ignore|@ts-expect-error|@ts-nocheck/, null, "a type"],
  [/\bas any\b|: any\b/, null, "unknown"],
  [/\binnerHTML\b|\bdocument\.write\b/, null, "textContent"],
];

describe("words", () => {
  for (const [pattern, exception, instead] of BANNED) {
    test(`${pattern.source} is not used; use ${instead}`, () => {
      const files = exception ? SOURCES.filter((path) => !exception.test(path)) : SOURCES;
      const page = /Date\.now|Math\.random/.test(pattern.source) ? PROGRAM : files;
      const wrong = files
        .filter((path) => page.includes(path))
        .flatMap((path) =>
          read(path)
            .split("\n")
            .flatMap((line, index) =>
              pattern.test(line) && !line.trim().startsWith("//") ? [`${path}:${index + 1}`] : [],
            ),
        );
      expect(wrong).toEqual([]);
    });
  }

  test("there are no index files and no re-exports", () => {
    expect(SOURCES.filter((path) => /\/index\.tsx?$/.test(path))).toEqual([]);
    expect(SOURCES.filter((path) => /^export (\*|\{[^}]*\}) from/m.test(read(path)))).toEqual([]);
  });

  test("every source file says in its first line what it is for", () => {
    expect(SOURCES.filter((path) => !/^(\/\/ |\/\*\*? ?)/.test(read(path)))).toEqual([]);
  });

  test("files are named in kebab-case and stay under 400 lines", () => {
    const all = [...SOURCES, ...filesOf("test/**/*.ts"), ...filesOf("scripts/**/*.ts")];
    expect(
      all.filter((path) => !/^([a-z0-9-]+\/)*[a-z0-9-]+(\.[a-z0-9-]+)*\.tsx?$/.test(path)),
    ).toEqual([]);
    expect(SOURCES.filter((path) => read(path).split("\n").length > 401)).toEqual([]);
  });
});

describe("documents", () => {
  const pages = filesOf("**/*.md").filter((path) => !path.startsWith("test/fixtures/"));

  test("have one title and no dead local link", () => {
    const wrong = pages.flatMap((path) => {
      const text = read(path).replace(/```[\s\S]*?```/g, "");
      const titles = text.match(/^# /gm)?.length ?? 0;
      const dead = [...text.matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)/g)]
        .map((match) => match[1] ?? "")
        .filter((target) => !existsSync(join(ROOT, dirname(path), target)));
      return [
        ...(titles === 1 ? [] : [`${path}: ${titles} titles`]),
        ...dead.map((target) => `${path}: ${target}`),
      ];
    });
    expect(wrong).toEqual([]);
  });

  test("AGENTS.md stays under 80 lines", () => {
    expect(read("AGENTS.md").split("\n").length).toBeLessThan(80);
  });

  test("every setting stands in docs/configuration.md", () => {
    const page = read("docs/configuration.md");
    expect(Object.keys(SETTINGS).filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  });

  test("every metric stands in docs/operations.md", () => {
    const page = read("docs/operations.md");
    expect(Object.keys(METRICS).filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  });

  test("every detector has its section in docs/detectors.md", () => {
    const page = read("docs/detectors.md");
    const types = [
      "retry_limit",
      "dead_loop",
      "retry_storm",
      "context_overflow",
      "agent_crash",
      "oom_kill",
      "memory_pressure",
      "protection_lost",
      "tool_failure",
    ];
    expect(types.filter((type) => !new RegExp(`^#+ .*\`?${type}`, "m").test(page))).toEqual([]);
  });

  test("nothing names a path of the machine that it was written on", () => {
    const all = [
      ...filesOf("{src,docs,scripts,test}/**/*.{ts,md,sh,json}"),
      "README.md",
      "package.json",
    ];
    const words = new RegExp(["/work/", "wt/"].map((word) => `(^|[\\s"'\`(])${word}`).join("|"));
    expect(
      all.filter(
        (path) =>
          existsSync(join(ROOT, path)) &&
          !path.startsWith("test/fixtures/") &&
          path !== relative(ROOT, import.meta.path) &&
          words.test(read(path)),
      ),
    ).toEqual([]);
  });
});
