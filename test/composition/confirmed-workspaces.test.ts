// Which directories observer saves without being told by configuration.

import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Agent, AgentChange } from "../../src/core/agent.ts";
import { createConfirmedWorkspaces } from "../../src/composition/confirmed-workspaces.ts";
import type { Parts } from "../../src/composition/parts.ts";
import { defaultSettings } from "../../src/config/settings.ts";
import { systemClock } from "../../src/core/clock.ts";
import { createFakeLog } from "../support/clock.ts";

const own = mkdtempSync(join(tmpdir(), "observer-confirmed-"));
// Anybody may go there, nobody but its owner may read it.
chmodSync(own, 0o711);
afterAll(() => rmSync(own, { recursive: true }));

/** Neither root nor whoever runs the tests. */
const STRANGER = 65_533;

function worker(uid: number, pid: number): Agent {
  return { id: `${pid}-1`, pid, uid, workspace: own, runId: null, sessionId: `s-${pid}` } as Agent;
}

test("a directory is a workspace of its owner's agents and of root's only, and of a stranger's never", async () => {
  const saved: string[] = [];
  let tell: (change: AgentChange) => void = () => undefined;
  const workspaces = createConfirmedWorkspaces(
    {
      registry: { onChange: (listener: typeof tell) => ((tell = listener), () => undefined) },
      runOf: () => "run",
    } as unknown as Parameters<typeof createConfirmedWorkspaces>[0],
    {
      clock: systemClock,
      settings: defaultSettings(),
      log: createFakeLog(),
      store: { checkpointRows: { list: () => [] } },
      checkpoints: {
        inspect: async () => ({ backend: "store", reason: null }),
        create: async ({ workspace }: { workspace: string }) => void saved.push(workspace),
      },
    } as unknown as Parts,
  );
  const stranger = worker(STRANGER, 11);
  tell({ kind: "found", agent: stranger });
  await Bun.sleep(50);
  expect(workspaces.list()).toEqual([]);
  expect(workspaces.savingOf(stranger, () => false)).toBeNull();
  expect(saved).toEqual([]);

  tell({ kind: "found", agent: worker(process.getuid?.() ?? 0, 12) });
  await Bun.sleep(50);
  expect(workspaces.list()).toMatchObject([{ path: own, pids: [12] }]);
  expect(workspaces.savingOf(stranger, () => false)).toBeNull();
  expect(saved).toEqual([own]);
});
