// tool_failure: each failed result, grouped by tool and class of error.

import { describe, expect, test } from "bun:test";
import { call, event, failing, findingsOf, passing, rowsOf } from "../support/detector-scenario.ts";

describe("tool_failure", () => {
  test("groups failures by tool and class of error", () => {
    const rows = rowsOf(
      findingsOf([
        ...failing("a", "Exit code 1\n=====\nTimeout after 10 s"),
        ...failing("b", "Exit code 2\nTimeout after 30 s"),
        ...failing("c", "command not found"),
        ...call("Read", { file_path: "/x" }, { ok: false, error: "command not found" }),
      ]),
    );
    expect(rows.map(({ type, count }) => `${type} ${count}`)).toEqual([
      "tool_failure 2",
      "tool_failure 1",
      "tool_failure 1",
    ]);
  });

  test("says which tool failed and how, also without a session and when only the call names the tool", () => {
    const [finding] = findingsOf([
      event("tool_call", { tool: "Bash", call_id: "c", input: { command: "make" } }),
      event("tool_result", { call_id: "c", ok: false, error: "\n make: no rule" }),
    ]);
    expect(finding).toMatchObject({
      summary: "Bash failed: make: no rule",
      detail: { tool: "Bash", error: "\n make: no rule" },
      evidence: ["e2"],
    });
    const { sessionId: _, ...alone } = event("tool_result", { tool: "Bash", ok: false });
    expect(findingsOf([alone]).map(({ summary }) => summary)).toEqual(["Bash failed"]);
  });

  test("takes the sender's word for a success that carries an error's text", () => {
    const warned = { ok: true, error: "warning: deprecated" };
    expect(findingsOf(call("Bash", { command: "make" }, warned))).toEqual([]);
  });

  test("is silent for successes that speak of errors and for calls the user interrupted", () => {
    const output = "Traceback (most recent call last): exit code 1, permission denied";
    const interrupted = { ok: false, error: "stopped", is_interrupt: true };
    expect(findingsOf([...passing("cat log", output), ...call("Bash", {}, interrupted)])).toEqual(
      [],
    );
  });
});
