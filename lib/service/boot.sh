#!/bin/sh
# Stands between the supervisor and the installed program. A new version has three starts to prove itself; it renames
# boot/VERSION+N to VERSION.good when it has. The fourth start goes back to the version before: an executable that is broken cannot
# do that itself. Only renames, which work on a full disk. This file is never updated with the program, so it does no more.
product=buildomat-factory-sp-test
case $0 in */*) here=${0%/*} ;; *) here=. ;; esac
prefix=$(CDPATH='' cd -P -- "$here/.." && pwd) || exit 1
bin=$prefix/bin/$product
# They would turn the executable into a plain Bun, or run code in it.
unset BUN_OPTIONS BUN_BE_BUN
# The program ends by itself for a new version only if this script starts it again.
export FACTORY_BOOT="$prefix"

current=$(readlink "$bin") || current=
current=${current#../versions/}
current=${current%%/*}
for trial in "$prefix/boot/$current"+[0-9]; do
  [ -n "$current" ] && [ -e "$trial" ] || continue
  left=${trial##*+}
  if [ "$left" -gt 0 ]; then
    mv -f "$trial" "$prefix/boot/$current+$((left - 1))"
  elif [ -e "$bin.prev" ] && mv -f "$bin.prev" "$bin"; then
    # The link first: what is started next is right even if the power fails here.
    mv -f "$trial" "$prefix/boot/$current.bad"
    echo "boot: $current did not prove itself in three starts: back to the version before" >&2
  fi
done
# A link to nothing cannot be started.
[ -e "$bin" ] || [ ! -e "$bin.prev" ] || mv -f "$bin.prev" "$bin"
exec "$bin" "$@"
