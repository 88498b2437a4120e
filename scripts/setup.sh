#!/bin/sh
# Sets up a factory with the `setup` of the executable beside this script or in dist/, else from this checkout with Bun.
set -u
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
root=$(dirname -- "$here")
for executable in "$here/buildomat-factory-sp-test" "$root/dist/buildomat-factory-sp-test"; do
  if [ -f "$executable" ] && [ -x "$executable" ]; then exec "$executable" setup "$@"; fi
done
if [ ! -f "$root/factory.ts" ]; then
  echo "setup.sh: there is no buildomat-factory-sp-test in $here, and no checkout around it" >&2
  echo "  Put this script beside the executable" >&2
  exit 2
fi
bun() { command bun "$@"; }
if ! command -v bun >/dev/null 2>&1 || [ "$(command bun --version 2>/dev/null)" != 1.4.5 ]; then
  bun() { npx -y bun@1.4.5 "$@"; }
fi
[ -d "$root/node_modules" ] || (cd "$root" && bun install --frozen-lockfile --silent) || exit 1
bun "$root/factory.ts" setup "$@"
