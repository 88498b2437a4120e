#!/bin/sh
# Installs or updates the factory: downloads the executable for this host, verifies it, and hands over to it (`setup`,
# `service install`). A second run changes only what differs. `--help` shows the flags.
# The whole script is one command in braces: a shell that got only a part of it does nothing.
{
set -u
umask 022
# They would turn the executable into a plain Bun, or run code in it.
unset BUN_OPTIONS BUN_BE_BUN
product=buildomat-factory-sp-test
version='' artifacts=''
# The artifacts of a release, one a line: target, path, size, hash, hash of the executable in it. scripts/release.ts writes them:
# @artifacts@

usage() {
  cat <<'END'
Usage: install.sh [flags]                    (the flags below, and those of `setup`, which it passes on)
  --url URL          the release's directory on a server
  --offline DIR      the release's directory, for example on a stick
  --from-checkout    builds this checkout and installs that
  --user             for this user, without root (else for the host, as root)
  --prefix DIR       where the program goes (/opt/buildomat-factory-sp-test, with --user ~/.local/opt/...)
  --base-dir DIR     the factory's configuration, database and jobs (~/Oxide/ci/factory)
  --no-service       the program alone, for another supervisor than systemd
  --version V        refuses to install any other version
  --dry-run          says what it would do
  --uninstall [--purge] [--yes]   removes all but the base directory; with --purge that, too
Of setup: --server-url URL --token-file FILE --sp-runner PATH --sp-config FILE --target NAME=ULID (may be repeated)
A token is never an argument: it comes from --token-file or $FACTORY_TOKEN, or is asked for.
END
}

say() { printf '%s\n' "$*"; }

# die MESSAGE HINT
die() {
  printf 'install.sh: %s\n' "$1" >&2
  [ -z "${2-}" ] || printf '  %s\n' "$2" >&2
  exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

url='' offline='' checkout=no user=no prefix='' base='' service=yes wanted='' dry=no uninstall=no purge=no yes=no
count=$#
while [ "$count" -gt 0 ]; do
  flag=$1 count=$((count - 1))
  shift
  case $flag in
  --user | --from-checkout | --no-service | --dry-run | --uninstall | --purge | --yes) ;;
  --help | -h) usage && exit 0 ;;
  --*=*) value=${flag#*=} flag=${flag%%=*} ;;
  --*)
    [ "$count" -gt 0 ] || die "$flag needs a value" 'install.sh --help shows the flags'
    value=$1 count=$((count - 1))
    shift
    ;;
  *) die "unknown word \"$flag\"" 'install.sh --help shows the flags' ;;
  esac
  case $flag in
  --user) user=yes ;;
  --from-checkout) checkout=yes ;;
  --no-service) service=no ;;
  --dry-run) dry=yes ;;
  --uninstall) uninstall=yes ;;
  --purge) purge=yes ;;
  --yes) yes=yes ;;
  --url) url=${value%/} ;;
  --offline) offline=$value ;;
  --prefix) prefix=$value ;;
  --base-dir) base=$value ;;
  --version) wanted=$value ;;
  # They become the words for setup.
  --server-url | --token-file | --sp-runner | --sp-config | --target) set -- "$@" "$flag" "$value" ;;
  *) die "unknown flag $flag" 'install.sh --help shows the flags' ;;
  esac
done

# Every user of a host can read a program's arguments.
authority=${url#*://} authority=${authority%%/*}
case $authority in
*@*) die '--url has a user name or a password' 'Let the server serve the release without a password: its signature protects it. Or copy it here and use --offline' ;;
esac
[ -n "${HOME-}" ] || die 'HOME is not set' 'Set it to the home directory of this user'
absolute() { case $1 in /*) say "$1" ;; *) say "$PWD/$1" ;; esac; }
if [ "$user" = yes ]; then
  prefix=$(absolute "${prefix:-$HOME/.local/opt/$product}")
else
  prefix=$(absolute "${prefix:-/opt/$product}")
  [ "$(id -u)" = 0 ] || die 'this user is not root' 'Run it with sudo, or add --user: then it runs as you, and needs no root'
fi
# Done again without --base-dir, it is the one that the installation serves.
unit=/etc/systemd/system/$product.service
[ "$user" = no ] || unit=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/$product.service
served=$(grep -F "=\"$prefix/libexec/boot\"" "$unit" 2>/dev/null | sed -n 's/.* --base-dir "\([^"\\%$]*\)"$/\1/p')
asked_base=$base base=$(absolute "${base:-${FACTORY_BASE:-${served:-$HOME/Oxide/ci/factory}}}")
bin=$prefix/bin/$product
wants_service=$service has_systemd=yes
[ -d /run/systemd/system ] || has_systemd=no service=no

# hand_over PROGRAM WORDS: runs the executable, which may ask questions; the script itself may be on standard input.
hand_over() {
  if [ ! -t 0 ] && [ -t 1 ] && (: </dev/tty) 2>/dev/null; then "$@" </dev/tty; else "$@"; fi
}

# with_places: passes this script's flags on to `service`.
with_places() {
  set -- "$@" --prefix "$prefix"
  # An installation knows its own.
  [ "$uninstall$asked_base" = yes ] || set -- "$@" --base-dir "$base"
  [ "$user" = no ] || set -- "$@" --user
  [ "$service" = yes ] || set -- "$@" --files-only
  hand_over "$@"
}

if [ "$uninstall" = yes ]; then
  [ -e "$bin" ] || [ ! -e "$prefix/libexec/boot" ] ||
    die "the installation in $prefix is damaged" 'Install it again to repair it, and then uninstall'
  [ -e "$bin" ] || die "nothing is installed in $prefix" '--prefix and --user choose the installation'
  [ "$dry" = no ] || { say "Would remove the service, $prefix$([ "$purge" = no ] || say " and ${asked_base:-its base directory}")" && exit 0; }
  set -- service uninstall
  [ "$purge" = no ] || set -- "$@" --purge
  [ "$yes" = no ] || set -- "$@" --yes
  with_places "$bin" "$@"
  exit
fi

# The target: system, CPU and C library.
case $(uname -s) in
Linux) system=linux ;;
Darwin) system=darwin ;;
*) die "there is no executable for $(uname -s)" 'Testbeds there are served over ssh: install the factory on a Linux host' ;;
esac
case $(uname -m) in
x86_64 | amd64) cpu=x64 ;;
aarch64 | arm64) cpu=arm64 ;;
*) die "there is no executable for this CPU, $(uname -m)" 'There are x86-64 and 64-bit ARM' ;;
esac
target=$system-$cpu
if [ "$system" = linux ] && ! getconf GNU_LIBC_VERSION >/dev/null 2>&1; then
  for loader in /lib/ld-musl-*; do [ ! -e "$loader" ] || target=$target-musl; done
fi
[ "$has_systemd$wants_service" != noyes ] ||
  say 'systemd does not run this host: installing without a service (README, Without systemd)'

# Where from.
script_directory=$(CDPATH='' cd -- "$(dirname -- "$0")" 2>/dev/null && pwd) || script_directory=
row=$(printf '%s\n' "$artifacts" | grep "^$target ") || row=
if [ "$checkout" = yes ]; then
  root=${script_directory%/scripts}
  [ -f "$root/factory.ts" ] || die "$root is not a checkout" 'Start scripts/install.sh of the checkout itself'
  for directory in "$root" "$root/dist" "$root/node_modules"; do
    [ ! -e "$directory" ] || [ -w "$directory" ] ||
      die "this user cannot write to $directory, where it is built" 'Run it as the owner of the checkout, or from a checkout of your own'
  done
  has npx || die 'npx is not there, and the build needs it to get Bun' 'Install Node.js with npm, or install a release'
  from="the checkout $root"
else
  [ -n "$artifacts" ] || die 'this install.sh is not of a release' 'Add --from-checkout, or use the install.sh of a release'
  [ -z "$wanted" ] || [ "$wanted" = "$version" ] ||
    die "this install.sh is of version $version" "Install it, and then: $product update --to $wanted"
  [ -n "$row" ] || die "release $version has nothing for $target" "It has: $(printf '%s\n' "$artifacts" | sed 's/ .*//' | tr '\n' ' ')"
  path=${row#* } path=${path%% *} size=${row#* * } size=${size%% *} hash=${row#* * * } hash=${hash%% *} executable_hash=${row##* }
  [ -n "$url$offline" ] || { [ -f "$script_directory/$path" ] && offline=$script_directory; }
  [ -n "$url$offline" ] || die 'it is not known where the release is' 'Add --url URL, or --offline DIR'
  from=${offline:-$url}/$path
  has sha256sum || has shasum || has openssl ||
    die 'neither sha256sum, shasum nor openssl is there' 'Without one of them nothing can be verified: install one'
  has gzip || die 'gzip is not there' 'Install it: the release is packed with it'
fi
# Report what setup would miss before anything is built or downloaded.
if [ ! -f "$base/config.toml" ] && ! { [ -t 1 ] && { [ -t 0 ] || (: </dev/tty) 2>/dev/null; }; }; then
  missing=''
  case " $* " in *' --server-url '*) ;; *) missing='--server-url URL' ;; esac
  case " $*  ${FACTORY_TOKEN:+--token-file }" in
  *' --token-file '*) ;;
  *) missing="$missing${missing:+, }--token-file FILE (or FACTORY_TOKEN in the environment)" ;;
  esac
  [ -z "$missing" ] || die "Cannot ask without a terminal. Missing: $missing" 'Give these, or run install.sh in a terminal'
fi
if [ "$dry" = yes ]; then
  say "Would install $from for $target into $prefix"
  [ -f "$base/config.toml" ] && say "Would keep $base/config.toml" || say "Would set up $base/config.toml"
  [ "$service" = no ] || say "Would have systemd run it$([ "$user" = no ] || say ' for this user'), now and from each boot on"
  exit 0
fi

staging=$prefix/staging/install.$$
clean() {
  rm -rf "$staging"
  rmdir "$prefix/staging" "$prefix" 2>/dev/null || :
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
# Remove what a killed run left behind.
for left in "$prefix"/staging/install.*; do
  [ ! -d "$left" ] || kill -0 "${left##*.}" 2>/dev/null || rm -rf "$left"
done
mkdir -p "$staging" 2>/dev/null ||
  die "cannot write to $prefix: $(mkdir -p "$staging" 2>&1 | sed 's/.*: //')" 'Its file system may be full or read-only: --prefix names another place'
free=$(df -Pk "$staging" | sed -n '$s/.* \([0-9][0-9]*\)  *[0-9]*%.*/\1/p')
[ -z "$free" ] || [ "$free" -ge 250000 ] ||
  die "only $((free / 1000)) MB are free in $prefix; 250 MB are needed" 'Free some, or name another place with --prefix'

hash_of() {
  if has sha256sum; then sha256sum <"$1"; elif has shasum; then shasum -a 256 <"$1"; else openssl dgst -sha256 -r <"$1"; fi | sed 's/ .*//'
}

# fetch URL FILE: shows bytes and the time left on a terminal, and stops a little above the size that was released.
fetch() {
  has curl || has wget || die 'neither curl nor wget is there' 'Install one, or copy the release here and use --offline'
  (
    ulimit -f $((size / 512 + 2048))
    if has curl; then
      if [ -t 2 ]; then set -- "$@" -#; else set -- "$@" -sS; fi
      curl -fL --connect-timeout 20 --speed-limit 1000 --speed-time 60 --max-filesize "$size" "$3" -o "$2" "$1"
    elif [ -t 2 ]; then
      wget -T 60 -O "$2" "$1"
    else
      # A quiet wget does not say why it failed.
      wget -T 60 -O "$2" "$1" 2>"$staging/said" || { grep -v -e '^--' -e '^ *[0-9]*K ' -e '^$' "$staging/said" >&2 && false; }
    fi
  )
}

new=$staging/$product
if [ "$checkout" = yes ]; then
  bun=$(sed -n 's/.*"packageManager": "\(.*\)".*/\1/p' "$root/package.json")
  say "Building $from"
  (cd "$root" && npx -y "$bun" run build) >"$staging/log" 2>&1 || {
    cat "$staging/log" >&2
    die 'the checkout could not be built'
  }
  cp "$root/dist/$product" "$new" || die "cannot write to $prefix"
elif [ "$(readlink "$bin" 2>/dev/null)" = "../versions/$version/$product" ] && [ "$(hash_of "$bin")" = "$executable_hash" ]; then
  new=$bin
else
  if [ -n "$offline" ]; then
    cp "$offline/$path" "$staging/packed" || die "cannot read $offline/$path"
  else
    say "Fetching $from, $((size / 1000000)) MB"
    fetch "$url/$path" "$staging/packed" ||
      die "cannot fetch $url/$path" 'See the line above. https_proxy names a proxy, CURL_CA_BUNDLE a certificate authority; TLS needs a correct clock'
  fi
  [ "$(hash_of "$staging/packed")" = "$hash" ] ||
    die "$path is not what was released: it has $(($(wc -c <"$staging/packed"))) bytes of $size, or others" 'It was cut short or replaced: try again, or another mirror'
  gzip -dc <"$staging/packed" >"$new" || die "cannot unpack into $prefix" 'Its file system may be full'
  rm "$staging/packed"
  [ "$(hash_of "$new")" = "$executable_hash" ] || die "what is in $path is not what was released"
fi
chmod 755 "$new" 2>/dev/null || :
said=$("$new" --version 2>&1)
case $? in
0) ;;
126) die "cannot run a program in $prefix" 'It may be mounted noexec: --prefix names another place' ;;
*)
  # The loader of musl has a line for each symbol.
  said=$(say "$said" | sed 1q)
  case $target in
  *-musl) die "the executable does not start: $said" 'It needs the C++ library: apk add libstdc++ libgcc' ;;
  *) die "the executable does not start: $said" "It is for $target" ;;
  esac
  ;;
esac
case $said in
"$product ${version:+$version (}"*", $target)") ;;
*) die "what was fetched is not $product $version for $target: $said" ;;
esac

[ -z "$url" ] || [ -f "$base/config.toml" ] || set -- "$@" --update-url "$url"
if [ -f "$base/config.toml" ]; then
  [ "$#" = 0 ] || say "$base/config.toml stays as it is"
elif [ -t 1 ]; then
  hand_over "$new" setup --installing --base-dir "$base" "$@" || exit
else
  "$new" setup --installing --base-dir "$base" "$@" >"$staging/said" || exit
  sed '/^$/d' "$staging/said"
fi
set -- service install
[ "$checkout" = yes ] || set -- "$@" --release
with_places "$new" "$@"
exit
}
