// Rewrites the files of a directory one after the other until its parent is gone; each content says which write it was: rewriter.ts DIR FILES BYTES.

import { writeFileSync } from "node:fs";
import { contentOf, pathOf } from "../consistent-cut.ts";

const [directory = "", files = "0", bytes = "0"] = process.argv.slice(2);
const parent = process.ppid;
// Not longer than the agent that it belongs to: nobody else ends it when that one is killed.
for (let turn = Number(files); process.ppid === parent; turn += 1) {
  writeFileSync(pathOf(directory, turn % Number(files)), contentOf(turn, Number(bytes)));
}
