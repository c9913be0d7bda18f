// Whose session an agent may be given.

import { expect, setDefaultTimeout, test } from "bun:test";
import { newId } from "../../../src/core/ids.ts";
import { readEnvironment, readUid } from "../../../src/kernel/procfs.ts";
import { createKit } from "./kit.ts";

setDefaultTimeout(30_000);

test("a session that an agent of another user runs is not given to an agent that claims it", async () => {
  // Stands in for programs of several users, which only root could start.
  const uidOf = (pid: number): number | null => {
    const given = readEnvironment(pid)?.get("KIT_UID");
    return given === undefined ? readUid(pid) : Number(given);
  };
  const kit = await createKit({ host: { readUid: uidOf } });
  try {
    const session = `run-${newId()}`;
    const start = (uid: string) =>
      kit.spawn("read line; kill -KILL $$", {
        env: { OBSERVER_SESSION_ID: session, KIT_UID: uid },
      });
    const victim = start("60001");
    expect(await kit.started(victim.pid)).toMatchObject({ sessionId: session });
    const thief = start("60002");
    await kit.started(thief.pid);
    // The rounds that look at sessions again come every 200 ms here.
    await Bun.sleep(500);
    expect(kit.source.registry.ofPid(thief.pid)?.sessionId).toBeNull();
    await thief.stdin.end();
    expect((await kit.exitOf(thief.pid)).sessionId).toBeUndefined();
    const sibling = start("60001");
    expect(await kit.started(sibling.pid)).toMatchObject({ sessionId: session });
  } finally {
    await kit.stop();
  }
});
