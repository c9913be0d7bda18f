// A checkpoint row for tests of what is made of rows.

import type { Checkpoint } from "../../src/core/checkpoint.ts";

export function checkpointRow(over: Partial<Checkpoint> & { id: string }): Checkpoint {
  return {
    host: "test-host",
    workspace: "/w",
    backend: "store",
    kind: "auto",
    reason: "dead_loop",
    label: null,
    interruptionId: null,
    sessionId: null,
    agent: null,
    createdMs: 0,
    durationMs: 1,
    files: 1,
    bytes: 100,
    verified: true,
    pinned: false,
    parentId: null,
    status: "ok",
    skipped: [],
    warnings: [],
    ref: over.id,
    identity: "1:2",
    error: null,
    ...over,
  };
}
