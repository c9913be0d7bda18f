// How agents die: real processes, each with exactly the events and interruptions that are promised.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { EventDraft } from "../../../src/core/event.ts";
import { createKit, interruptionsOf, type Kit, waitFor } from "./kit.ts";

interface Death {
  name: string;
  /** Ends the script by itself. */
  script?: string;
  /** Sent to it. */
  signal?: NodeJS.Signals;
  data: Record<string, unknown>;
  idle: string[];
  working: string[];
}

const DEATHS: Death[] = [
  { name: "exit 0", script: "exit 0", data: { exit_code: 0 }, idle: [], working: [] },
  { name: "exit 1", script: "exit 1", data: { exit_code: 1 }, idle: [], working: ["agent_crash"] },
  ...(["SIGTERM", "SIGINT", "SIGHUP"] as const).map((signal) => ({
    name: signal,
    signal,
    data: { signal },
    idle: [],
    working: [],
  })),
  ...(["SIGKILL", "SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL"] as const).map((signal) => ({
    name: signal,
    signal,
    data: { signal },
    idle: ["agent_crash"],
    working: ["agent_crash"],
  })),
];

describe.each([true, false])("with process events of the kernel: %p", (connector) => {
  let kit: Kit;
  beforeAll(async () => {
    kit = await createKit({ connector });
  });
  afterAll(() => kit.stop());

  for (const { name, script, signal, data, idle, working } of DEATHS) {
    for (const works of [false, true]) {
      test(`${name}${works ? " while work is under way" : ""}`, async () => {
        const session = `s-${crypto.randomUUID()}`;
        const child = kit.spawn(`read line; ${script ?? "sleep 60"}`, {
          env: { OBSERVER_SESSION_ID: session },
        });
        await waitFor("the start", () => kit.of("process_start", child.pid)[0]);
        if (signal) child.kill(signal);
        else await child.stdin.end();
        const exit = await kit.exitOf(child.pid);
        expect(exit.data).toMatchObject(data);
        const { exit_code: exitCode, signal: told } = exit.data;
        expect({ exitCode, told }).toEqual({
          exitCode: data["exit_code"] as undefined,
          told: data["signal"] as undefined,
        });
        expect(exit).toMatchObject({ source: "kernel", sessionId: session, agent: kit.kind });
        await Bun.sleep(50);
        expect(kit.of("process_start", child.pid)).toHaveLength(1);
        expect(kit.of("process_exit", child.pid)).toHaveLength(1);
        const call: EventDraft[] = works
          ? [
              {
                kind: "tool_call",
                source: "t",
                sessionId: session,
                data: { tool: "x", call_id: "1" },
              },
            ]
          : [];
        const events = kit.drafts.filter((draft) => draft.sessionId === session);
        expect(interruptionsOf([...call, ...events])).toEqual(works ? working : idle);
      });
    }
  }
});
