// Hands the signals that `observer run` gets on to CMD.

import { constants } from "node:os";
import { keyboardSignals } from "../../../kernel/terminal.ts";

/** Those that people and service managers send on purpose. */
const FORWARDED = [
  "SIGTERM",
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGUSR1",
  "SIGUSR2",
  "SIGCONT",
  "SIGWINCH",
] as const;
type Forwarded = (typeof FORWARDED)[number];

/** The terminal sends these to everyone in its foreground, CMD included. */
const TYPED: readonly Forwarded[] = ["SIGINT", "SIGQUIT"];

/**
 * Catches the signals from now on; `to` begins to deliver, those first that came meanwhile. A signal that was
 * ignored at the start (`ignored`, numbers) stays ignored. `end` lets them take their usual effect again.
 */
export function forwardSignals(ignored: readonly number[]): {
  to(kill: (signal: Forwarded) => void): void;
  end(): void;
} {
  const early: Forwarded[] = [];
  let deliver = (signal: Forwarded): void => void early.push(signal);
  const handlers = FORWARDED.filter((name) => !ignored.includes(constants.signals[name])).map(
    (name) => ({
      name,
      handler: () => {
        if (TYPED.includes(name) && keyboardSignals()) return;
        deliver(name);
      },
    }),
  );
  for (const { name, handler } of handlers) process.on(name, handler);
  return {
    to(kill) {
      deliver = kill;
      early.splice(0).forEach(kill);
    },
    end() {
      for (const { name, handler } of handlers) process.off(name, handler);
    },
  };
}
