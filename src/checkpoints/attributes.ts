// Which extended attributes a checkpoint holds, how they are read, compared and put back.

import { failedWith } from "../kernel/libc.ts";
import {
  attributeNames,
  attributeNamesOf,
  attributeValue,
  removeAttribute,
  setAttribute,
  type AttributeSource,
} from "../kernel/xattr.ts";
import { messageOf } from "../core/errors.ts";
import type { Attribute } from "./tree.ts";

/** What people and programs set. Labels of security modules belong to the machine's policy, not to the workspace. */
const KEPT = new Set([
  "security.capability",
  "system.posix_acl_access",
  "system.posix_acl_default",
]);
const KEPT_SPACES = ["user.", "trusted."];

function isKept(name: string): boolean {
  return KEPT.has(name) || KEPT_SPACES.some((space) => name.startsWith(space));
}

/** Those that only root may set and remove. */
export function needsRoot({ name }: Pick<Attribute, "name">): boolean {
  return name.startsWith("security.") || name.startsWith("trusted.");
}

/** What is kept of the attributes of an open file, or of what is at a path; by name. Throws `SystemCallError`. */
export function readAttributes(source: AttributeSource): Attribute[] {
  const names = attributeNames(source);
  if (names.length === 0) return [];
  return names
    .filter(isKept)
    .sort((a, b) => (a < b ? -1 : 1))
    .flatMap((name) => {
      const value = attributeValue(source, name);
      return value ? [{ name, value: value.toString("base64") }] : [];
    });
}

/** Both in order of their names. */
export function sameAttributes(a: Attribute[], b: Attribute[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ name, value }, index) => name === b[index]?.name && value === b[index].value)
  );
}

/**
 * Gives what `fd` is open on (a handle will do) exactly these, after its owner and mode: both change some of them.
 * Returns what could not be done.
 */
export function putAttributes(fd: number, wanted: readonly Attribute[], asRoot: boolean): string[] {
  const names = attributeNamesOf(fd);
  // Neither has any, nearly always.
  if (names.length === 0 && wanted.length === 0) return [];
  const problems: string[] = [];
  const attempt = (name: string, act: () => void): void => {
    try {
      act();
    } catch (error) {
      problems.push(
        needsRoot({ name }) && !asRoot && failedWith(error, "EPERM")
          ? `attribute ${name} can be restored by root only`
          : `attribute ${name} is not restored: ${messageOf(error)}`,
      );
    }
  };
  const present = names.filter(isKept);
  // A new file takes an ACL over from its directory, and one that stays may have got more meanwhile.
  for (const name of present)
    if (!wanted.some((attribute) => attribute.name === name) && (asRoot || !needsRoot({ name })))
      attempt(name, () => removeAttribute(fd, name));
  for (const { name, value } of wanted)
    attempt(name, () => setAttribute(fd, name, Buffer.from(value, "base64")));
  return problems;
}
