#!/bin/sh
# Stands between the supervisor and the installed program. A new version has three starts to prove itself, and renames
# boot/VERSION+N to VERSION.good when it has. The fourth start goes back to the version before: a broken executable cannot
# undo itself. Only renames, which work on a full disk. This file is not updated with the program, so it does no more than it must.
product=buildomat-factory-sp-test
case $0 in */*) here=${0%/*} ;; *) here=. ;; esac
prefix=$(CDPATH='' cd -P -- "$here/.." && pwd) || exit 1
bin=$prefix/bin/$product
# They would turn the executable into a plain Bun, or run code in it.
unset BUN_OPTIONS BUN_BE_BUN
# The program ends by itself for a new version only if this script starts it again.
export FACTORY_BOOT="$prefix"

version_of() { readlink "$1" | sed 's|^\.\./versions/||; s|/.*||'; }
is_whole() { (cd "$prefix/versions/$1" && sha256sum -c sha256) >/dev/null 2>&1; }
current=$(version_of "$bin")
for trial in "$prefix/boot/$current"+[0-9]; do
  [ -n "$current" ] && [ -e "$trial" ] || continue
  left=${trial##*+}
  if [ "$left" -gt 0 ]; then
    mv -f "$trial" "$prefix/boot/$current+$((left - 1))"
  elif [ -e "$bin.prev" ] && mv -f "$bin.prev" "$bin"; then
    # The link first: the next start is right even if the power fails here.
    mv -f "$trial" "$prefix/boot/$current.bad"
    echo "boot: $current did not prove itself in three starts: back to the version before" >&2
  fi
done
# A trusted version may have been damaged on the disk. Hashing takes a second, so only a start soon after another one does it.
good=$prefix/boot/$current.good
if [ -n "$(find "$good" -mmin -5 2>/dev/null)" ] && ! is_whole "$current" && is_whole "$(version_of "$bin.prev")"; then
  echo "boot: $current is damaged: back to the version before" >&2
  mv -f "$bin.prev" "$bin"
fi
touch -c "$good" 2>/dev/null
# A link to nothing cannot be started.
[ -e "$bin" ] || [ ! -e "$bin.prev" ] || mv -f "$bin.prev" "$bin"
exec "$bin" "$@"
