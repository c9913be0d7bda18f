// The throw-away workspace of the demo: a small project, and the damage that is done to it.

import { chmodSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const FILES: Record<string, string> = {
  "src/cart.py": `"""Shopping cart."""


def line_total(price_cents, qty):
    return price_cents * qty


def total(lines, tax_rate=0.2):
    sub = sum(line_total(p, q) for p, q in lines)
    return round(sub * tax_rate)
`,
  "tests/test_cart.py": `import unittest

from src.cart import total


class CartTest(unittest.TestCase):
    def test_total_includes_tax(self):
        self.assertEqual(total([(1000, 2)]), 2400)
`,
  "README.md": "# shop\n\nA shop with one failing test.\n",
  "notes/today.md": "Hours of work that are in no commit yet.\n",
};

/** Makes the project below `workspace`. */
export function createDemoWorkspace(workspace: string): void {
  for (const [path, content] of Object.entries(FILES)) {
    mkdirSync(dirname(join(workspace, path)), { recursive: true });
    writeFileSync(join(workspace, path), content);
  }
  symlinkSync("src/cart.py", join(workspace, "latest.py"));
}

/** Does to the file what the recorded edit did. */
export function applyEdit(path: string, { from, to }: { from: string; to: string }): void {
  writeFileSync(path, readFileSync(path, "utf8").replace(from, to));
}

/** What an agent in despair does; each line says one thing. */
export function damage(workspace: string): string[] {
  rmSync(join(workspace, "tests"), { recursive: true });
  rmSync(join(workspace, "notes"), { recursive: true });
  writeFileSync(
    join(workspace, "src/cart.py"),
    "def total(*_):\n    return 2400  # tests pass now\n",
  );
  chmodSync(join(workspace, "README.md"), 0o777);
  rmSync(join(workspace, "latest.py"));
  symlinkSync("/dev/null", join(workspace, "latest.py"));
  writeFileSync(join(workspace, "core.4711"), "x".repeat(100_000));
  return [
    "rm -r tests notes",
    "src/cart.py overwritten",
    "chmod 777 README.md",
    "latest.py points to /dev/null",
    "core.4711 left behind",
  ];
}
