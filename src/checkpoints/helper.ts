// The helper process: does one checkpoint operation that may be heavy or hang, and answers in one line.

import { messageOf, ObserverError, type ErrorCode } from "../core/errors.ts";
import { codeOf } from "./live-tree.ts";
import { signalOccupants } from "./occupants.ts";
import { create, diff, exists, inspect, mend, remove, space, text, verify } from "./operations.ts";
import type { HelperAnswer, HelperRequest } from "./protocol.ts";
import { apply, plan } from "./restore.ts";
import { isBrokenIndex } from "./store/index-db.ts";

/**
 * Reads one request from standard input, performs it, writes one answer to standard output.
 * Resolves to the exit status: 0 answered (also with an error), 1 the request was no request.
 */
export async function runCheckpointHelper(): Promise<number> {
  let request: HelperRequest;
  try {
    request = JSON.parse(await Bun.stdin.text()) as HelperRequest;
  } catch (error) {
    await answer({
      ok: false,
      error: {
        code: "invalid",
        message: `Cannot read the request: ${messageOf(error)}`,
        detail: {},
      },
    });
    return 1;
  }
  try {
    const done = await perform(request);
    await answer({ ok: true, answer: done });
  } catch (error) {
    await answer({ ok: false, error: describe(error) });
  }
  return 0;
}

async function perform(message: HelperRequest): Promise<unknown> {
  const { context } = message;
  switch (message.op) {
    case "inspect":
      return inspect(context, message.request);
    case "create":
      return create(context, message.request);
    case "exists":
      return exists(context, message.request);
    case "delete":
      return remove(context, message.request);
    case "verify":
      return verify(context, message.request);
    case "mend":
      return mend(context, message.request);
    case "space":
      return space(context, message.request);
    case "diff":
      return diff(context, message.request);
    case "text":
      return text(context, message.request);
    case "plan":
      return plan(context, message.request);
    case "apply":
      return apply(context, message.request);
    case "thaw":
      await Bun.sleep(message.request.afterMs);
      signalOccupants(message.request.occupants, "SIGCONT");
      return { thawed: message.request.occupants.length };
  }
}

/** Meaning of system errors to a caller; the rest is `failed`. */
const SYSTEM_CODES: Record<string, ErrorCode> = {
  ENOSPC: "no_space",
  EDQUOT: "no_space",
  EROFS: "read_only",
  EACCES: "not_permitted",
  EPERM: "not_permitted",
  ENOENT: "vanished",
  SQLITE_FULL: "no_space",
  SQLITE_BUSY: "busy",
  SQLITE_READONLY: "read_only",
};
/** The same by number, where the kernel was called directly. */
const SYSTEM_NUMBERS: Record<number, ErrorCode> = {
  1: "not_permitted",
  2: "vanished",
  13: "not_permitted",
  28: "no_space",
  30: "read_only",
  122: "no_space",
};

function describe(error: unknown): {
  code: ErrorCode;
  message: string;
  detail: Record<string, unknown>;
} {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if (at instanceof ObserverError)
      return { code: at.code, message: at.message, detail: at.detail };
    if (isBrokenIndex(at))
      return { code: "corrupt", message: messageOf(error), detail: { index: true } };
    const number =
      "errno" in at && typeof at.errno === "number" ? SYSTEM_NUMBERS[at.errno] : undefined;
    const code = SYSTEM_CODES[codeOf(at) ?? ""] ?? number;
    if (code !== undefined) return { code, message: messageOf(error), detail: {} };
  }
  return { code: "failed", message: messageOf(error), detail: {} };
}

async function answer(message: HelperAnswer): Promise<void> {
  await Bun.write(Bun.stdout, `${JSON.stringify(message)}\n`);
}
