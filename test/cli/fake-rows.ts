// Rows in the shapes of the contract (sections 4 to 6) for the fake observer.

export type Row = Record<string, unknown>;

/** Markup that an agent might write; it must never become an element. */
export const HOSTILE = `<img src=x onerror="document.title='owned'">`;

const WORKSPACE = "/srv/agents/shop";
const HOST = "build-07";

/** Rows whose times count back from `nowMs`. */
export function fakeRows(nowMs: number) {
  const iso = (secondsAgo: number): string => new Date(nowMs - secondsAgo * 1_000).toISOString();
  return {
    events: events(iso),
    sessions: sessions(iso),
    interruptions: interruptions(iso),
    reactions: reactions(iso),
    checkpoints: checkpoints(iso),
    agents: agents(iso),
    changes: CHANGES,
  };
}

type Iso = (secondsAgo: number) => string;

const GIB = 1024 ** 3;

/** Last started first. */
function agents(iso: Iso): Row[] {
  const agent = (pid: number, fields: Row): Row => ({
    id: `${pid}-${pid}00`,
    kind: "claude-code",
    host: HOST,
    pid,
    start_time: iso(3_600),
    start_ticks: pid * 100,
    started_at: iso(3_600),
    uid: 1000,
    command: "claude",
    cwd: WORKSPACE,
    workspace: WORKSPACE,
    session_id: null,
    run_id: null,
    cgroup: "/sys/fs/cgroup/user.slice",
    own_cgroup: false,
    rss_bytes: 0.3 * GIB,
    memory_usage_bytes: null,
    memory_limit_bytes: null,
    time_to_limit_ms: null,
    state: "running",
    paused_until: null,
    ...fields,
  });
  return [
    agent(4712, {
      kind: `evil\u001b[2J\u202e${HOSTILE}`,
      cwd: "/tmp/\u001b[31mred",
      state: "paused",
      paused_until: iso(-600),
    }),
    agent(4711, {
      session_id: "8f14e45f-ceea-467f-a0e6-1c2b3d4e5f60",
      memory_usage_bytes: 3.8 * GIB,
      memory_limit_bytes: 4 * GIB,
      time_to_limit_ms: 2_500,
    }),
  ];
}

const LOOP = [
  { tool: "Read", input: { file_path: "src/cart.ts" }, ok: true, duration_ms: 14 },
  { tool: "Edit", input: { file_path: "src/cart.ts" }, ok: true, duration_ms: 22 },
  {
    tool: "Bash",
    input: { command: "npm test -- cart" },
    ok: false,
    error: "1 failing: expects 42, got 41",
    duration_ms: 3_480,
  },
];

function event(iso: Iso, secondsAgo: number, fields: Row): Row {
  return {
    id: `ev${String(secondsAgo).padStart(6, "0")}`,
    kind: "tool_result",
    time: iso(secondsAgo),
    received_at: iso(secondsAgo),
    host: HOST,
    source: "claude-code",
    session_id: "8f14e45f-ceea-467f-a0e6-1c2b3d4e5f60",
    agent: "claude-code",
    workspace: WORKSPACE,
    pid: 4711,
    ...fields,
  };
}

/** Newest first. */
function events(iso: Iso): Row[] {
  const rows: Row[] = [];
  const codex = {
    session_id: "cdx-20260131-0007",
    agent: "codex",
    source: "codex",
    workspace: "/srv/agents/api",
  };
  rows.push(
    event(iso, 2, {
      kind: "tool_result",
      tool: "Write",
      input: { file_path: "notes.md" },
      ok: true,
      output: HOSTILE,
    }),
  );
  rows.push(
    event(iso, 5, {
      ...codex,
      kind: "llm_call",
      model: "gpt-5-codex",
      provider: "openai",
      usage: { input: 2100, output: 320, cache_read: 51200, cache_write: 0 },
      stop_reason: "stop",
      duration_ms: 5210,
      cost_usd: 0.031,
    }),
  );
  rows.push(
    event(iso, 9, {
      kind: "prompt",
      prompt: `${HOSTILE} please fix the cart total\nand \u202Ereverse`,
    }),
  );
  for (let turn = 0; turn < 14; turn += 1) {
    for (const [step, call] of LOOP.toReversed().entries()) {
      rows.push(
        event(iso, 30 + turn * 45 + step * 9, {
          kind: "tool_result",
          call_id: `c${turn}${step}`,
          ...call,
        }),
      );
    }
    if (turn % 3 === 0)
      rows.push(
        event(iso, 62 + turn * 45, {
          kind: "llm_call",
          model: "claude-sonnet-4-5",
          provider: "anthropic",
          usage: { input: 840, output: 610, cache_read: 88400, cache_write: 2100 },
          stop_reason: "tool_use",
          duration_ms: 4120,
          cost_usd: 0.0412,
        }),
      );
  }
  rows.push(
    event(iso, 700, {
      ...codex,
      kind: "error",
      error: "429 rate_limit_error: slow down",
      error_type: "rate_limit_error",
    }),
  );
  rows.push(
    event(iso, 760, {
      kind: "operation",
      source: "scenario",
      agent: null,
      session_id: null,
      endpoint: "/v1/match",
      success: true,
      input_summary: "fill welder×3 in Lyon, FR",
      output_summary: "filled",
      duration_ms: 231,
    }),
  );
  rows.push(event(iso, 800, { kind: "session_start", reason: "startup" }));
  return rows.sort((a, b) => (String(a["time"]) < String(b["time"]) ? 1 : -1));
}

function session(fields: Row): Row {
  return { host: HOST, pid: 4711, ended_at: null, end_reason: null, unpriced_calls: 0, ...fields };
}

function sessions(iso: Iso): Row[] {
  return [
    session({
      id: "8f14e45f-ceea-467f-a0e6-1c2b3d4e5f60",
      agent: "claude-code",
      workspace: WORKSPACE,
      started_at: iso(800),
      last_at: iso(2),
      events: 50,
      tool_calls: 43,
      errors: 14,
      tokens: { input: 4_200, output: 3_050, cache_read: 442_000, cache_write: 10_500 },
      cost_usd: 0.206,
    }),
    session({
      id: "cdx-20260131-0007",
      agent: "codex",
      workspace: "/srv/agents/api",
      started_at: iso(5_400),
      last_at: iso(5),
      events: 212,
      tool_calls: 96,
      errors: 3,
      tokens: { input: 91_000, output: 22_400, cache_read: 1_204_000, cache_write: 0 },
      cost_usd: 1.84,
      unpriced_calls: 7,
    }),
    session({
      id: "b1946ac9-2492-4d23-8f1a-99e0a1b2c3d4",
      agent: "gemini",
      workspace: "/srv/agents/docs",
      started_at: iso(90_000),
      last_at: iso(88_000),
      ended_at: iso(88_000),
      end_reason: "exit",
      events: 31,
      tool_calls: 12,
      errors: 0,
      tokens: { input: 12_000, output: 2_000, cache_read: 0, cache_write: 0 },
      cost_usd: 0.022,
    }),
  ];
}

function interruption(fields: Row): Row {
  return {
    host: HOST,
    session_id: "8f14e45f-ceea-467f-a0e6-1c2b3d4e5f60",
    agent: "claude-code",
    workspace: WORKSPACE,
    pid: 4711,
    evidence: [],
    detail: {},
    count: 1,
    detected_ms: 12,
    resolved_at: null,
    ...fields,
  };
}

function interruptions(iso: Iso): Row[] {
  return [
    interruption({
      id: "k3v9m7qa2xwz1",
      type: "dead_loop",
      severity: "critical",
      time: iso(48),
      first_time: iso(320),
      last_time: iso(48),
      count: 4,
      summary: "Read→Edit→Bash repeated 14 times, and the last round brought nothing new",
      detail: {
        sequence: ["Read src/cart.ts", "Edit src/cart.ts", "Bash npm test -- cart"],
        repetitions: 14,
        limit: 3,
        period: 3,
      },
      evidence: ["ev000048", "ev000039", "ev000030"],
    }),
    interruption({
      id: "p0q8r6s4t2v1w",
      type: "retry_limit",
      severity: "high",
      time: iso(640),
      first_time: iso(702),
      last_time: iso(640),
      count: 2,
      session_id: "cdx-20260131-0007",
      agent: "codex",
      workspace: "/srv/agents/api",
      summary: `"${HOSTILE}" failed 5 times`,
      detail: { command: HOSTILE, failures: 5, limit: 5 },
      evidence: ["ev000700"],
    }),
    interruption({
      id: "a9b8c7d6e5f4g",
      type: "tool_failure",
      severity: "low",
      time: iso(3_900),
      first_time: iso(4_000),
      last_time: iso(3_900),
      count: 3,
      summary: "WebFetch failed: 404 for https://example.org/docs/api",
      resolved_at: iso(3_000),
    }),
    interruption({
      id: "h2j3k4m5n6p7q",
      type: "context_overflow",
      severity: "high",
      time: iso(88_100),
      first_time: iso(88_100),
      last_time: iso(88_100),
      session_id: "b1946ac9-2492-4d23-8f1a-99e0a1b2c3d4",
      agent: "gemini",
      workspace: "/srv/agents/docs",
      summary: "The prompt does not fit: 1,048,577 tokens of 1,048,576",
      resolved_at: iso(80_000),
    }),
  ];
}

function reactions(iso: Iso): Row[] {
  const common = { host: HOST, workspace: WORKSPACE, session_id: null };
  return [
    {
      ...common,
      id: "r1",
      interruption_id: "k3v9m7qa2xwz1",
      kind: "checkpoint",
      status: "done",
      reason: "dead_loop is critical and reactive.enabled is true",
      started_at: iso(319),
      duration_ms: 412,
      detail: { checkpoint_id: "c7m2x9k4v1q8z" },
    },
    {
      ...common,
      id: "r2",
      interruption_id: "k3v9m7qa2xwz1",
      kind: "alert",
      status: "done",
      reason: "severity is at least medium",
      started_at: iso(319),
      duration_ms: 3,
      detail: {},
    },
    {
      ...common,
      id: "r3",
      interruption_id: "p0q8r6s4t2v1w",
      kind: "checkpoint",
      status: "suppressed",
      reason: "another checkpoint of this workspace was taken 12 s ago",
      started_at: iso(640),
      duration_ms: null,
      detail: {},
    },
  ];
}

function checkpoint(fields: Row): Row {
  return {
    host: HOST,
    workspace: WORKSPACE,
    backend: "store",
    label: null,
    interruption_id: null,
    session_id: null,
    agent: null,
    duration_ms: 412,
    files: 1_284,
    bytes: 18_400_000,
    verified: true,
    pinned: false,
    parent_id: null,
    status: "ok",
    error: null,
    skipped: [],
    warnings: [],
    ...fields,
  };
}

function checkpoints(iso: Iso): Row[] {
  return [
    checkpoint({
      id: "c7m2x9k4v1q8z",
      kind: "auto",
      reason: "dead_loop",
      interruption_id: "k3v9m7qa2xwz1",
      session_id: "8f14e45f-ceea-467f-a0e6-1c2b3d4e5f60",
      agent: "claude-code",
      created_at: iso(319),
    }),
    checkpoint({
      id: "d4f6h8j1k3m5n",
      kind: "manual",
      reason: "manual",
      label: "before-refactoring",
      created_at: iso(7_200),
      pinned: true,
      status: "partial",
      skipped: [
        {
          path: "data/dump.sql",
          reason: "larger than checkpoints.file_bytes (100.0 MiB)",
          listed_only: false,
        },
        { path: "node_modules", reason: "excluded by default", listed_only: true },
      ],
      warnings: ["1 path is not in it"],
    }),
    checkpoint({
      id: "e5g7j9m2p4r6t",
      kind: "baseline",
      reason: "baseline",
      created_at: iso(86_000),
      status: "failed",
      verified: false,
      files: null,
      bytes: null,
      error: "no space left on device",
    }),
  ];
}

const CHANGES: Row[] = [
  {
    path: "src/cart.ts",
    change: "modified",
    type: "file",
    size_before: 4_120,
    size_after: 4_377,
    what: ["content", "mtime"],
  },
  { path: "src/new-total.ts", change: "added", type: "file", size_after: 812 },
  { path: "test/cart.test.ts", change: "deleted", type: "file", size_before: 2_204 },
  {
    path: "docs/cart.md",
    change: "renamed",
    type: "file",
    from: "docs/basket.md",
    size_before: 900,
    size_after: 900,
  },
];
