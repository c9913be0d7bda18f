// Colour in the terminal, and the marks that say the same without colour.

import { SEVERITIES, type Severity } from "../core/interruption.ts";

const CODES = {
  bold: "1",
  dim: "2",
  red: "31",
  green: "32",
  yellow: "33",
  blue: "34",
  magenta: "35",
  cyan: "36",
  alarm: "1;31",
} as const;
export type Colour = keyof typeof CODES;

export type Paint = (colour: Colour, text: string) => string;

/** Colours text, or leaves it as it is. */
export function createPaint(colour: boolean): Paint {
  return (name, text) => (colour && text !== "" ? `\u001b[${CODES[name]}m${text}\u001b[0m` : text);
}

const SEVERITY_COLOURS: Record<Severity, Colour> = {
  info: "dim",
  low: "blue",
  medium: "yellow",
  high: "magenta",
  critical: "alarm",
};

const STATUS_COLOURS: Record<string, Colour> = {
  done: "green",
  ok: "green",
  failed: "red",
  timed_out: "red",
  unknown: "red",
  partial: "yellow",
  pending: "cyan",
  suppressed: "dim",
  dry_run: "dim",
  deleted: "dim",
  running: "green",
  frozen: "cyan",
  paused: "yellow",
  stopped: "yellow",
  zombie: "dim",
  gone: "dim",
  degraded: "yellow",
  missing: "yellow",
  broken: "red",
};

export function severityColour(severity: unknown): Colour {
  const known = SEVERITIES.find((name) => name === severity);
  return known ? SEVERITY_COLOURS[known] : "bold";
}

export function statusColour(status: unknown): Colour | null {
  return STATUS_COLOURS[String(status)] ?? null;
}
