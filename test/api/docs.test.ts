import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { ACCESS } from "../../src/api/access.ts";
import { STATUS_OF_CODE } from "../../src/api/problem.ts";

const page = readFileSync(new URL("../../docs/api.md", import.meta.url), "utf8");

test.each(Object.entries(ACCESS))("docs/api.md has %s with its access %s", (endpoint, access) => {
  const lines = page.split("\n").filter((line) => line.includes(`\`${endpoint}\``));
  expect(lines.some((line) => new RegExp(`(\\| |· )${access}\\b`).test(line))).toBe(true);
});

test.each(Object.entries(STATUS_OF_CODE))("docs/api.md has code %s under %d", (code, status) => {
  const row = page.split("\n").find((line) => line.startsWith(`| ${status} |`));
  expect(row).toContain(`\`${code}\``);
});
