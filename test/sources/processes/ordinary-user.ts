// Run by identity.test.ts as an ordinary user: ordinary-user.ts PROGRAM. Finds agents without rights, its own and one of
// another user; prints a line when it found that one, then what it saw as JSON.

import { createKit, interruptionsOf, waitFor } from "./kit.ts";

const [name = ""] = process.argv.slice(2);
const kit = await createKit({ connector: false, rules: [`other=${name}`] });
try {
  const other = await waitFor("the other's agent", () =>
    kit.source.registry.list().find(({ kind }) => kind === "other"),
  );
  const killed = kit.spawn("read line");
  const failed = kit.spawn("read line; exit 3");
  await Promise.all([kit.started(killed.pid), kit.started(failed.pid)]);
  killed.kill("SIGKILL");
  await failed.stdin.end();
  const exits = [await kit.exitOf(killed.pid), await kit.exitOf(failed.pid)];
  console.log("found");
  const { cwd, workspace, sessionId, uid } = other;
  const end = (await kit.exitOf(other.pid)).data;
  console.log(
    JSON.stringify({
      uid: process.geteuid?.(),
      state: kit.source.capabilities()[0]?.state,
      own: exits.map(({ data }) => data.signal ?? data.exit_code),
      interruptions: interruptionsOf(exits),
      other: { uid, cwd, workspace, sessionId, end: end.signal },
    }),
  );
} finally {
  await kit.stop();
}
