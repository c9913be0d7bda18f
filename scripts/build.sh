#!/bin/sh
# Builds dist/observer when it is missing or older than what it is made from, and stops.
set -eu
cd "$(dirname "$0")/.."
. scripts/bun.sh

stale() {
  [ ! -x dist/observer ] ||
    [ -n "$(find src package.json bun.lock tsconfig.json scripts/build.ts .bun-version -newer dist/observer | head -n 1)" ]
}

if stale; then
  bun scripts/build.ts
else
  echo "dist/observer is up to date" >&2
fi
