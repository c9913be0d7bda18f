// Structured log lines; the only writer to standard error.

import { printable, printableJson } from "../core/text.ts";

export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export type LogFields = Record<string, string | number | boolean | null | undefined>;

export interface Log {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
}

export interface LogOptions {
  level: LogLevel;
  /** JSON when nobody watches, one readable line when somebody does. */
  json: boolean;
  now: () => number;
  write: (line: string) => void;
}

/** Never throws: a log that cannot be written must not stop what it reports on. */
export function createLog(options: LogOptions): Log {
  const floor = LOG_LEVELS.indexOf(options.level);
  const emit = (level: LogLevel, message: string, fields: LogFields = {}): void => {
    if (LOG_LEVELS.indexOf(level) > floor) return;
    const time = new Date(options.now()).toISOString();
    try {
      options.write(
        options.json
          ? `${printableJson(JSON.stringify({ time, level, message, ...fields }))}\n`
          : `${time} ${level.padEnd(5)} ${printable(message)}${readable(fields)}\n`,
      );
    } catch {
      // Standard error is gone (closed pipe, full disk); there is nowhere left to say so.
    }
  };
  return {
    error: (message, fields) => emit("error", message, fields),
    warn: (message, fields) => emit("warn", message, fields),
    info: (message, fields) => emit("info", message, fields),
    debug: (message, fields) => emit("debug", message, fields),
  };
}

function readable(fields: LogFields): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}=${printable(String(value))}`)
    .join("");
}
