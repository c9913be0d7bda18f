// Rewrites the files of a directory one after the other, for ever; each content says which write it was: rewriter.ts DIR FILES BYTES.

import { writeFileSync } from "node:fs";
import { contentOf, pathOf } from "../consistent-cut.ts";

const [directory = "", files = "0", bytes = "0"] = process.argv.slice(2);
for (let turn = Number(files); ; turn += 1) {
  writeFileSync(pathOf(directory, turn % Number(files)), contentOf(turn, Number(bytes)));
}
