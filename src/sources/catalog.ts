// Every source there is, listed by hand: add yours here.

import type { FileSource, HookParser } from "../core/contracts.ts";
import { parseClaudeCodeHook } from "./hooks/claude-code.ts";
import { agentStraceSession } from "./transcripts/agent-strace.ts";
import { claudeCodeTranscript } from "./transcripts/claude-code.ts";
import { hookRecording } from "./transcripts/hook-recording.ts";
import { nativeEvents } from "./transcripts/native-events.ts";
import { operationsLog } from "./transcripts/operations-log.ts";

/** By vendor, as in `POST /hooks/<vendor>`. */
export const HOOK_PARSERS: Record<"claude-code", HookParser> = {
  "claude-code": parseClaudeCodeHook,
};

/** The first one that recognises a file reads it: the most particular shapes come first. */
export const FILE_SOURCES: FileSource[] = [
  hookRecording,
  agentStraceSession,
  claudeCodeTranscript,
  nativeEvents,
  operationsLog,
];
