// The bundled page: small, without inline code, and nothing in it turns text into markup.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { dashboardAssets } from "../../src/dashboard/assets.ts";
import { bundleDashboard } from "../../src/dashboard/bundle.ts";

const ROOT = resolve(import.meta.dir, "../..");
/** Budget of the page over the wire. */
const GZIP_BYTES_MAX = 40_000;

const assets = dashboardAssets();
const text = (path: string): string => new TextDecoder().decode(assets.get(path)?.body);
const pathOf = (pattern: RegExp): string =>
  [...assets.keys()].find((path) => pattern.test(path)) ?? "";

describe("dashboardAssets", () => {
  test("holds one page, one script and one style sheet with names from their content", () => {
    expect([...assets.keys()].map((path) => path.replace(/-[a-z0-9]{8}\./, "-HASH."))).toEqual([
      "/",
      "/assets/app-HASH.js",
      "/assets/page-HASH.css",
      "/assets/icon.svg",
    ]);
    for (const { type, body, gzip } of assets.values()) {
      expect(type).toMatch(/^(text|image)\//);
      expect(Bun.gunzipSync(gzip as Uint8Array<ArrayBuffer>)).toEqual(
        body as Uint8Array<ArrayBuffer>,
      );
    }
  });

  test("is what the bundler makes of the sources now", async () => {
    expect((await bundleDashboard()).map(({ path, body }) => [path, body])).toEqual(
      [...assets.keys()].map((path) => [path, text(path)]),
    );
  });

  test("stays within its budget", () => {
    const bytes = [...assets.values()].reduce((sum, { gzip }) => sum + gzip.byteLength, 0);
    expect(bytes).toBeLessThan(GZIP_BYTES_MAX);
  });

  test("the page refers to its parts relatively and holds no inline script, style or handler", () => {
    const html = text("/");
    const references = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url]) => url ?? "");
    expect(references).toHaveLength(4);
    for (const url of references) {
      expect(url).toMatch(/^(assets\/|#)/);
      if (url.startsWith("assets/")) expect(assets.has(`/${url}`)).toBe(true);
    }
    expect(html).not.toContain("<style");
    expect(html).not.toMatch(/<script(?![^>]*\bsrc=)/);
    expect(html).not.toMatch(/\s(style|on\w+)=/);
    expect(html).not.toContain("<base");
    expect(html).toContain('<html lang="en">');
  });

  test("script and style sheet load nothing from elsewhere", () => {
    const script = text(pathOf(/\.js$/));
    expect(script.match(/https?:\/\/[^"'`\s]+/g) ?? []).toEqual(["http://www.w3.org/2000/svg"]);
    expect(text(pathOf(/\.css$/))).not.toMatch(/url\(|@import/);
  });

  test("no source turns text into markup or code", () => {
    const folder = join(ROOT, "src/dashboard/page");
    for (const name of readdirSync(folder).filter((file) => file.endsWith(".ts"))) {
      const source = readFileSync(join(folder, name), "utf8");
      expect(source).not.toMatch(
        /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|srcdoc|\beval\(|new Function/,
      );
      expect(source.split("\n").length).toBeLessThan(400);
    }
  });
});

describe("the compiled program", () => {
  const work = mkdtempSync(join(tmpdir(), "observer-page-"));
  const binary = join(work, "built");
  beforeAll(() => {
    const entry = join(work, "main.ts");
    const from = JSON.stringify(join(ROOT, "src/dashboard/assets.ts"));
    writeFileSync(
      entry,
      `import { dashboardAssets } from ${from};
for (const [path, { body, gzip }] of dashboardAssets()) process.stdout.write(path + " " + Bun.hash(body).toString(36) + " " + gzip.length + "\\n");`,
    );
    const flags = ["--compile", "--bytecode", "--format=esm", "--minify", `--outfile=${binary}`];
    const built = Bun.spawnSync([process.execPath, "build", entry, ...flags]);
    expect(built.stderr.toString()).toBe("");
  }, 60_000);
  afterAll(() => rmSync(work, { recursive: true }));

  test("carries the page, alone in an empty directory", () => {
    const empty = mkdtempSync(join(tmpdir(), "observer-empty-"));
    cpSync(binary, join(empty, "observer"));
    const ran = Bun.spawnSync([join(empty, "observer")], { cwd: empty, env: {} });
    rmSync(empty, { recursive: true });
    const expected = [...assets].map(
      ([path, { body, gzip }]) => `${path} ${Bun.hash(body).toString(36)} ${gzip.length}`,
    );
    expect(ran.stdout.toString().trim().split("\n")).toEqual(expected);
  });
});
