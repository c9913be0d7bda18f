// JSON from callers: parsed with a limit on nesting, and objects checked against a schema.

import type { Static, TObject } from "@sinclair/typebox";
import { type TypeCheck, TypeCompiler } from "@sinclair/typebox/compiler";
import { ObserverError } from "../core/errors.ts";
import { clip } from "../core/text.ts";

/** Of a value that is refused, this much is told back. */
const VALUE_SHOWN_MAX = 200;

/** Throws `invalid` for text that is no JSON or nests deeper than `depthMax`. */
export function parseJson(text: string, depthMax: number): unknown {
  const value = parseDeepJson(text);
  checkDepth(value, depthMax);
  return value;
}

/** The same for a caller that checks the depth of each part by itself. */
export function parseDeepJson(text: string): unknown {
  if (text.trim() === "") throw invalid("it is empty");
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // The engine's own message quotes the body; the caller has it anyway.
    throw invalid("it is not JSON");
  }
}

/** Throws `invalid` when arrays and objects nest deeper than `depthMax`; a scalar has depth 0. */
export function checkDepth(value: unknown, depthMax: number): void {
  if (typeof value !== "object" || value === null) return;
  if (depthMax === 0) throw invalid("it is nested too deeply");
  // Recursion ends at depthMax, which is at most 1,000.
  for (const child of Object.values(value)) checkDepth(child, depthMax - 1);
}

/** The value as an object; throws `invalid` for anything else. */
export function asObject(value: unknown): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw invalid("it must be a JSON object");
}

function invalid(rule: string): ObserverError {
  return new ObserverError("invalid", `Cannot read body: ${rule}`);
}

const checks = new Map<TObject, TypeCheck<TObject>>();

/** The value as the schema says; throws `invalid` naming the field and what it must be. */
export function checkShape<S extends TObject>(schema: S, value: unknown): Static<S> {
  let check = checks.get(schema);
  if (!check) checks.set(schema, (check = TypeCompiler.Compile<TObject>(schema)));
  if (check.Check(value)) return value as Static<S>;
  const error = check.Errors(value).First();
  const field = error?.path.slice(1).replaceAll("/", ".") ?? "";
  throw new ObserverError(
    "invalid",
    field === ""
      ? "Cannot read body: it must be a JSON object"
      : `Cannot use "${field}": ${ruleOf(error?.message ?? "not allowed")}`,
    {
      detail: {
        field,
        value: clip(JSON.stringify(error?.value) ?? "", VALUE_SHOWN_MAX),
        rule: ruleOf(error?.message ?? "not allowed"),
        allowed: Object.keys(schema.properties),
      },
    },
  );
}

function ruleOf(message: string): string {
  return message === "Unexpected property"
    ? "there is no such field"
    : message.charAt(0).toLowerCase() + message.slice(1);
}
