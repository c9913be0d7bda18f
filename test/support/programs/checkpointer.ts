// An observer reduced to its checkpoints: takes and restores them in turn until it is killed: checkpointer.ts ROOT FIRST SECOND.

import { openKit } from "../persistent-kit.ts";

const [root = "", first = "", second = ""] = process.argv.slice(2);
const kit = openKit(root);
for (const id of kit.turns(first, second)) {
  await kit.service.restore({ id });
  await kit.service.create({ workspace: kit.workspace, kind: "auto", reason: "turn" });
}
