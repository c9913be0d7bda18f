#!/bin/sh
# The whole gate: gets what the tests need, builds, and runs every check. `--long` adds what takes minutes.
set -eu
cd "$(dirname "$0")/.."
. scripts/bun.sh

LONG=0
for argument in "$@"; do
  case $argument in
    --long) LONG=1 ;;
    *) echo "test.sh: unknown argument $argument; known is --long" >&2; exit 2 ;;
  esac
done
export OBSERVER_TEST_LONG=$LONG

# System parts that some tests need. Without root, or without a package manager, those tests skip and say so.
need() {
  command -v "$1" >/dev/null 2>&1 && return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing $2 for the tests that need $1..." >&2
    [ -n "${APT_UPDATED:-}" ] || { apt-get update -qq >&2 || true; APT_UPDATED=1; }
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null 2>&1 || true
  fi
  command -v "$1" >/dev/null 2>&1 || echo "$1 cannot be had here: its tests are skipped" >&2
}
need mkfs.btrfs btrfs-progs
need mkfs.xfs xfsprogs
need mkfs.ext4 e2fsprogs
need setpriv util-linux
need chromium chromium

status=0
step() {
  echo "== $1" >&2
  shift
  "$@" || { status=1; echo "FAILED: $*" >&2; }
}

step "build" sh scripts/build.sh
step "format" bun run --silent format:check
step "lint" bun run --silent lint
step "types" bun run --silent types
step "documents" bun scripts/docs.ts --check
step "dead code" bun run --silent deadcode

echo "== tests" >&2
report=$(mktemp)
bun test --randomize --timeout 30000 > "$report" 2>&1 || status=1
# Passed tests are many; what failed, what was skipped and why, and the sums are what one reads.
grep -v '^(pass)' "$report" | grep -v '^$' || true
count() { sed -n "s/^ *\([0-9][0-9]*\) $1\$/\1/p" "$report" | tail -n 1; }
passed=$(count pass)
failed=$(count fail)
skipped=$(count skip)
rm -f "$report"
[ "${failed:-0}" = 0 ] && [ "$status" != 0 ] && failed=1
echo "${passed:-0} passed, ${failed:-0} failed, ${skipped:-0} skipped"
exit $status
