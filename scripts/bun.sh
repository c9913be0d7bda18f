# Gets the pinned bun and puts it first on PATH. Sourced by the other scripts, from the repository's root.
# bun comes from the npm registry; its package runs no install script here, the binary is taken as it is.

BUN_VERSION=$(cat .bun-version)
TOOLS="$PWD/.tools/bun-$BUN_VERSION"

find_bun() {
  for candidate in "$TOOLS"/node_modules/@oven/bun-*/bin/bun; do
    if [ -x "$candidate" ] && [ "$("$candidate" --version 2>/dev/null)" = "$BUN_VERSION" ]; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done
  return 1
}

get_bun() {
  if ! command -v npm >/dev/null 2>&1; then
    echo "bun $BUN_VERSION is missing and npm, which would get it, is not installed" >&2
    return 1
  fi
  echo "Getting bun $BUN_VERSION from the npm registry..." >&2
  staging="$TOOLS.$$"
  rm -rf "$staging"
  mkdir -p "$staging"
  printf '{"private":true}\n' > "$staging/package.json"
  npm install --prefix "$staging" --cache "$staging/cache" --no-audit --no-fund --no-update-notifier --ignore-scripts \
    --loglevel=error "bun@$BUN_VERSION" >&2 || {
    echo "npm could not get bun $BUN_VERSION; what it said stands above" >&2
    rm -rf "$staging"
    return 1
  }
  rm -rf "$staging/cache"
  # Renamed when complete: a run that is cut short leaves nothing that looks like bun.
  rm -rf "$TOOLS"
  mv "$staging" "$TOOLS"
}

BUN=$(find_bun) || { get_bun && BUN=$(find_bun); } || {
  echo "No working bun $BUN_VERSION could be had for this machine" >&2
  exit 1
}
mkdir -p "$TOOLS/bin"
ln -sf "$BUN" "$TOOLS/bin/bun"
ln -sf "$BUN" "$TOOLS/bin/bunx"
PATH="$TOOLS/bin:$PATH"
export PATH

# Caches stay in this folder too; npm's and bun's own are in the home directory.
BUN_INSTALL_CACHE_DIR="$PWD/.tools/cache"
export BUN_INSTALL_CACHE_DIR

bun install --frozen-lockfile --silent
