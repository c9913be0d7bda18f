// Lines of JSON: parsing one, and looking at the first ones to tell formats apart.

import { messageOf } from "../core/errors.ts";
import { type Fields, invalid, isFields, quote } from "./fields.ts";

/** @throws ObserverError `invalid` when the line is no JSON object. */
export function parseJsonLine(text: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (thrown) {
    throw invalid(`not JSON: ${messageOf(thrown)}`);
  }
  if (!isFields(value)) throw invalid(`got ${quote(value)}, must be a JSON object`);
  return value;
}

/** True when at least one of the lines is an object that `looks` right. */
export function someLine(lines: string[], looks: (fields: Fields) => boolean): boolean {
  return lines.some((line) => {
    try {
      const value: unknown = JSON.parse(line);
      return isFields(value) && looks(value);
    } catch {
      // A cut or foreign line says nothing about the others.
      return false;
    }
  });
}
