// What observer and its guardian tell each other: one short line each, so that a message is written whole or not at all.

import type { ProcessId } from "../core/agent.ts";
import { parseProcessText, parseTarget, processText, type Target } from "./target.ts";

/** PIPE_BUF of Linux: a write up to this is never mixed with another thread's. */
export const LINE_BYTES_MAX = 4_096;

/** What the guardian has to know of one stop before it begins. */
export interface Announcement {
  slot: number;
  target: Target;
  /** Longest that it may stand once it began; null for a lease. */
  capMs: number | null;
  /** End of the lease, milliseconds since the epoch; null for a freeze. */
  untilMs: number | null;
}

export type Command =
  /** Announced; a lease counts from here on, a freeze only when it begins. Again for the same slot: renewed. */
  | { kind: "announce"; announcement: Announcement }
  /** More processes that are about to be stopped. */
  | { kind: "add"; slot: number; processes: ProcessId[] }
  /** It begins now. */
  | { kind: "begin"; slot: number }
  /** Observer let it go on, or it never began: forget it without touching it. */
  | { kind: "forget"; slot: number }
  /** Let it go on if it began, and forget it. */
  | { kind: "release"; slot: number };

export type Report =
  /** Ready; hierarchies whose cgroup it could leave, and those that it could not. */
  | { kind: "ready"; moved: string[]; stuck: string[] }
  /** The announcement was read. */
  | { kind: "heard"; slot: number }
  /** It let go on by itself, after so many milliseconds. */
  | { kind: "thawed"; slot: number; ms: number }
  | { kind: "trouble"; slot: number; reason: string };

const REASON_CHARS_MAX = 300;

/** Lines for an announcement; null when the path is too long for one. The processes follow in lines of their own. */
export function announceLines({ slot, target, capMs, untilMs }: Announcement): string[] | null {
  const first = `A ${JSON.stringify({ slot, target: { ...target, processes: [] }, capMs, untilMs })}\n`;
  if (Buffer.byteLength(first) > LINE_BYTES_MAX) return null;
  return [first, ...addLines(slot, target.processes)];
}

export function addLines(slot: number, processes: readonly ProcessId[]): string[] {
  const lines: string[] = [];
  let line = "";
  for (const process of processes) {
    const word = ` ${processText(process)}`;
    if (line !== "" && line.length + word.length >= LINE_BYTES_MAX) {
      lines.push(`${line}\n`);
      line = "";
    }
    if (line === "") line = `P ${slot}`;
    line += word;
  }
  if (line !== "") lines.push(`${line}\n`);
  return lines;
}

/** At most 56 bytes, for the waiting thread. */
export const beginLine = (slot: number): string => `F ${slot}\n`;
export const forgetLine = (slot: number): string => `T ${slot}\n`;
export const releaseLine = (slot: number): string => `W ${slot}\n`;

/** One line without its newline; null for what is no command. */
export function parseCommand(line: string): Command | null {
  const rest = line.slice(2);
  if (line.startsWith("A ")) {
    const announcement = parseAnnouncement(rest);
    return announcement && { kind: "announce", announcement };
  }
  const [first = "", ...words] = rest.split(" ");
  const slot = slotOf(first);
  if (slot === null) return null;
  if (line.startsWith("P ")) {
    const processes = words.map(parseProcessText);
    return processes.every((process) => process !== null) ? { kind: "add", slot, processes } : null;
  }
  if (words.length > 0) return null;
  if (line.startsWith("F ")) return { kind: "begin", slot };
  if (line.startsWith("T ")) return { kind: "forget", slot };
  if (line.startsWith("W ")) return { kind: "release", slot };
  return null;
}

function parseAnnouncement(text: string): Announcement | null {
  const value = objectOf(text);
  const target = parseTarget(value?.["target"]);
  const slot = slotOf(String(value?.["slot"]));
  const capMs = value?.["capMs"] ?? null;
  const untilMs = value?.["untilMs"] ?? null;
  if (!target || slot === null || (capMs === null) === (untilMs === null)) return null;
  if (capMs !== null && !Number.isFinite(capMs)) return null;
  if (untilMs !== null && !Number.isFinite(untilMs)) return null;
  return { slot, target, capMs: capMs as number | null, untilMs: untilMs as number | null };
}

function objectOf(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

function slotOf(text: string): number | null {
  return /^[1-9]\d{0,14}$/.test(text) ? Number(text) : null;
}

export function reportLine(report: Report): string {
  switch (report.kind) {
    case "ready":
      return `ready ${JSON.stringify({ moved: report.moved, stuck: report.stuck })}\n`;
    case "heard":
      return `a ${report.slot}\n`;
    case "thawed":
      return `t ${report.slot} ${Math.round(report.ms)}\n`;
    case "trouble":
      return `e ${report.slot} ${report.reason.replace(/\s+/g, " ").slice(0, REASON_CHARS_MAX)}\n`;
  }
}

/** Null for what is no report. */
export function parseReport(line: string): Report | null {
  if (line.startsWith("ready ")) {
    const value = objectOf(line.slice("ready ".length));
    return (
      value && { kind: "ready", moved: namesOf(value["moved"]), stuck: namesOf(value["stuck"]) }
    );
  }
  const match = /^([ate]) (\d+)(?: (.*))?$/.exec(line);
  const slot = slotOf(match?.[2] ?? "");
  if (!match || slot === null) return null;
  if (match[1] === "a") return { kind: "heard", slot };
  if (match[1] === "t") return { kind: "thawed", slot, ms: Number(match[3] ?? 0) || 0 };
  return { kind: "trouble", slot, reason: match[3] ?? "" };
}

function namesOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((name) => typeof name === "string") : [];
}

/** Cuts a stream of bytes into lines. What is longer than any message is thrown away up to its end. */
export function createLineCutter(take: (line: string) => void): (chunk: Uint8Array) => void {
  const decoder = new TextDecoder();
  let rest = "";
  return (chunk) => {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > LINE_BYTES_MAX) rest = " ";
    for (const line of lines) if (line !== "") take(line);
  };
}
