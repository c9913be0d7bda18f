// What a setting is made of: its kind, default, rule and sentence.

type Kind =
  | "boolean"
  | "integer"
  | "number"
  | "duration"
  | "size"
  | "string"
  | "path"
  | "strings"
  | "paths";

export interface Definition<T> {
  kind: Kind;
  default: T;
  help: string;
  /** Allowed values of a string setting. */
  oneOf?: readonly string[];
  min?: number;
  max?: number;
}

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;

export const flag = (value: boolean, help: string): Definition<boolean> => ({
  kind: "boolean",
  default: value,
  help,
});
export const integer = (
  value: number,
  min: number,
  max: number,
  help: string,
): Definition<number> => ({
  kind: "integer",
  default: value,
  min,
  max,
  help,
});
export const duration = (
  ms: number,
  min: number,
  max: number,
  help: string,
): Definition<number> => ({
  kind: "duration",
  default: ms,
  min,
  max,
  help,
});
export const size = (bytes: number, min: number, help: string): Definition<number> => ({
  kind: "size",
  default: bytes,
  min,
  max: Number.MAX_SAFE_INTEGER,
  help,
});
export const string = (
  value: string,
  help: string,
  oneOf?: readonly string[],
): Definition<string> => ({
  kind: "string",
  default: value,
  help,
  ...(oneOf ? { oneOf } : {}),
});
export const strings = (value: string[], help: string): Definition<string[]> => ({
  kind: "strings",
  default: value,
  help,
});
