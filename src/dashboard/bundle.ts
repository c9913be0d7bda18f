// Bundles the page: one script, one style sheet, names made from their content. Prints the result as JSON when run.

import { readFileSync } from "node:fs";
import { basename, join } from "node:path";

export interface BundledFile {
  /** As the browser asks for it, e.g. `/assets/app-1a2b3c4d.js`. */
  path: string;
  /** Content type. */
  type: string;
  body: string;
}

const PAGE = join(import.meta.dir, "page");

/** Builds the page from its sources. Throws when they do not compile. */
export async function bundleDashboard(): Promise<BundledFile[]> {
  const script = await bundle("app.ts", "text/javascript; charset=utf-8");
  const style = await bundle("page.css", "text/css; charset=utf-8");
  const html = readFileSync(join(PAGE, "index.html"), "utf8")
    .replace("{{script}}", script.path.slice(1))
    .replace("{{style}}", style.path.slice(1))
    .replace(/\n\s*/g, "\n");
  const icon = readFileSync(join(PAGE, "icon.svg"), "utf8");
  return [
    { path: "/", type: "text/html; charset=utf-8", body: html },
    script,
    style,
    { path: "/assets/icon.svg", type: "image/svg+xml", body: icon },
  ];
}

async function bundle(entry: string, type: string): Promise<BundledFile> {
  const result = await Bun.build({
    entrypoints: [join(PAGE, entry)],
    target: "browser",
    minify: true,
    naming: "[name]-[hash].[ext]",
  });
  const [output, ...others] = result.outputs;
  if (!output || others.length > 0) throw new Error(`Cannot bundle ${entry}: expected one file`);
  return { path: `/assets/${basename(output.path)}`, type, body: await output.text() };
}

if (import.meta.main) process.stdout.write(JSON.stringify(await bundleDashboard()));
