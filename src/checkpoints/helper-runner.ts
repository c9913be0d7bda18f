// Starts the helper for one operation, waits for it no longer than its deadline, and then ends it for good.

import { messageOf, ObserverError } from "../core/errors.ts";
import { startTicksOf } from "./occupants.ts";
import type {
  HelperAnswer,
  HelperContext,
  HelperRequest,
  OperationName,
  Operations,
} from "./protocol.ts";

/** A killed helper is given this long to go; one in an unkillable wait of the kernel is left behind. */
const REAP_MS = 1_000;
/** Messages of the helper's standard error that reach an error; the end says most. */
const STDERR_CHARS_MAX = 2_000;

export interface StartedHelper {
  pid: number;
  /** Clock ticks after boot; -1 when it was gone before anybody looked. */
  startTicks: number;
  /** Resolves when the process is gone, however. */
  exited: Promise<unknown>;
}

export interface HelperRunner {
  /** Throws what the operation threw; `timeout` when it was ended, `unavailable` when it could not start. */
  run<Name extends OperationName>(call: HelperCall<Name>): Promise<Operations[Name]["answer"]>;
  /** Ends every helper that runs. */
  killAll(): void;
}

export interface HelperCall<Name extends OperationName> {
  op: Name;
  request: Operations[Name]["request"];
  deadlineMs: number;
  onStart?: (started: StartedHelper) => void;
  signal?: AbortSignal;
}

export interface HelperRunnerOptions {
  /** Program and arguments; absolute, because it is started in `/`. */
  command: string[];
  context: Omit<HelperContext, "lockWaitMs">;
}

export function createHelperRunner({ command, context }: HelperRunnerOptions): HelperRunner {
  const running = new Set<number>();
  return {
    async run(call) {
      const message = {
        op: call.op,
        context: { ...context, lockWaitMs: call.deadlineMs },
        request: call.request,
      } as HelperRequest;
      const child = start(command, JSON.stringify(message));
      running.add(child.pid);
      const exited = child.exited.finally(() => running.delete(child.pid));
      call.onStart?.({ pid: child.pid, startTicks: startTicksOf(child.pid) ?? -1, exited });
      const text = await raced(child, call);
      return parsed(text) as Operations[typeof call.op]["answer"];
    },
    killAll() {
      for (const pid of running) killGroup(pid);
    },
  };
}

type Child = Bun.Subprocess<Buffer, "pipe", "pipe">;

function start(command: string[], input: string): Child {
  try {
    return Bun.spawn(command, {
      stdin: Buffer.from(input),
      stdout: "pipe",
      stderr: "pipe",
      cwd: "/",
      // Its own process group, so that all of it can be ended; nothing of our environment, which may carry
      // BUN_OPTIONS, BUN_BE_BUN or a loader's settings.
      detached: true,
      env: {
        PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        LANG: "C.UTF-8",
      },
    });
  } catch (error) {
    throw new ObserverError(
      "unavailable",
      `Cannot start the checkpoint helper: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
}

async function raced(child: Child, call: HelperCall<OperationName>): Promise<string> {
  const { promise: over, resolve: end } = Promise.withResolvers<"timeout" | "aborted">();
  const timer = setTimeout(() => end("timeout"), call.deadlineMs);
  const abort = (): void => end("aborted");
  call.signal?.addEventListener("abort", abort);
  const done = Promise.all([text(child.stdout), text(child.stderr), child.exited]);
  try {
    const result = await Promise.race([done, over]);
    if (typeof result !== "string") {
      const [answer, talk, status] = result;
      if (answer !== "") return answer;
      throw new ObserverError(
        "failed",
        `The checkpoint helper ended without an answer (status ${status}): ${talk.slice(-STDERR_CHARS_MAX)}`,
      );
    }
    killGroup(child.pid);
    await Promise.race([child.exited, Bun.sleep(REAP_MS)]);
    throw new ObserverError(
      "timeout",
      result === "timeout"
        ? `The checkpoint helper did not finish ${call.op} within ${call.deadlineMs} ms`
        : `The checkpoint helper was ended during ${call.op}`,
      { detail: { pid: child.pid } },
    );
  } finally {
    clearTimeout(timer);
    call.signal?.removeEventListener("abort", abort);
    child.unref();
  }
}

async function text(stream: ReadableStream<Uint8Array>): Promise<string> {
  try {
    return await new Response(stream).text();
  } catch {
    // The pipe broke with the process; its status tells.
    return "";
  }
}

/** Ends a helper and what it started. */
export function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // Gone already.
  }
}

function parsed(text: string): unknown {
  let answer: HelperAnswer;
  try {
    answer = JSON.parse(text) as HelperAnswer;
  } catch (error) {
    throw new ObserverError("failed", "The checkpoint helper's answer is not JSON", {
      cause: error,
      detail: { answer: text.slice(0, STDERR_CHARS_MAX) },
    });
  }
  if (answer.ok) return answer.answer;
  throw new ObserverError(answer.error.code, answer.error.message, { detail: answer.error.detail });
}
