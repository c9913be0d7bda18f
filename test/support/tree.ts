// Looks at a directory tree exactly, with nothing of observer's own.

import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";

/** Path → type, mode, owner, modification time in nanoseconds, content or target; in the order of paths. */
export function treeOf(top: string): Record<string, string> {
  const found: [string, string][] = [];
  const visit = (path: Buffer, shown: string): void => {
    const { mode, uid, gid, mtimeNs } = lstatSync(path, { bigint: true });
    const type = Number(mode) & 0o170000;
    const permissions = (Number(mode) & 0o7777).toString(8);
    const what =
      type === 0o120000
        ? `link to ${readlinkSync(path)}`
        : type === 0o040000
          ? "directory"
          : createHash("sha256").update(readFileSync(path)).digest("hex");
    found.push([shown, `${permissions} ${uid}:${gid} ${mtimeNs} ${what}`]);
    if (type !== 0o040000) return;
    for (const child of readdirSync(path, { encoding: "buffer" })) {
      visit(Buffer.concat([path, Buffer.from("/"), child]), `${shown}/${child.toString("latin1")}`);
    }
  };
  visit(Buffer.from(top), ".");
  return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}
