# Checks the two directories that other users might have prepared or might write to.

# are_places_safe WORK LOCKS OWNER: the work directory must belong to OWNER (by default to us) and be writable only by them. The
# lock directory must be sticky, made by any of the lab's users, or writable only by root or the owner. If not, $reason says
# what is wrong, with the fix.
are_places_safe() {
  reason='' place_owner=${3:-$uid}
  [ -d "$1" ] || mkdir -p "$1" 2>/dev/null
  [ -d "$2" ] || mkdir -m 1777 "$2" 2>/dev/null
  for place in "work directory $1" "lock directory $2"; do
    [ ! -L "/${place#*/}" ] || reason="the $place is a symbolic link; name the directory itself"
    [ -d "/${place#*/}" ] || reason="the $place is not there and cannot be created"
  done
  [ -d "$2" ] || reason="$reason; as root: mkdir -p -m 1777 $2"
  [ -z "$reason" ] || return 1
  what="the work directory $1"
  read_place "$1"
  case $mode in
  d????w* | d???????w*) reason="$what can be written by others; chmod go-w it" ;;
  d*) [ "$place_of" = "$place_owner" ] || reason="$what belongs to user $place_of, not to $place_owner" ;;
  *) reason="$what cannot be examined" ;;
  esac
  [ -n "$reason" ] || [ -w "$1" ] || reason="$what cannot be written; its file system may be read-only"
  what="the lock directory $2"
  read_place "$2"
  case $mode in
  d????????[tT]*) ;;
  d????w* | d???????w*) reason="$what is not sticky; chmod 1777 it" ;;
  d*) [ "$place_of" = "$place_owner" ] || [ "$place_of" = 0 ] || reason="$what belongs to user $place_of alone; chmod 1777 it" ;;
  *) reason="$what cannot be examined" ;;
  esac
  [ -r "$2" ] || reason="$what cannot be listed; chmod 1777 it"
  [ -z "$reason" ]
}

# read_place PATH: sets $mode and the owner $place_of.
read_place() {
  set -- $(ls -ldn "$1" 2>/dev/null)
  mode=${1:-} place_of=${3:-}
}

# is_elevated_enough: if not, $reason says why. pfexec also runs a command if it gives no privileges.
is_elevated_enough() {
  [ "$elevated" = yes ] && [ "$uid" != 0 ] || return 0
  reason="elevated agents run as root, and the minder is user $uid; give this user a profile that makes pfexec give root"
  return 1
}

# is_host_usable: whether jobs can use the host's own /work and /input; if not, $reason says why.
is_host_usable() {
  for place in /work /input; do
    [ -d "$place" ] && [ -w "$place" ] && continue
    reason="without isolation jobs use this host's $place, which is not a directory that user $uid can write; mkdir -m 1777 /work /input"
    return 1
  done
}

# read_free_space PATH: sets $free_kb; empty if df does not show it.
read_free_space() {
  line=$(df -Pk "$1" 2>/dev/null)
  line=${line#*"$newline"}
  line=${line%%"$newline"*}
  free_kb=
  # The last word before the percentage, because a device's name may contain spaces.
  for word in ${line% [0-9]*%*}; do free_kb=$word; done
  case $free_kb in *[!0-9]*) free_kb= ;; esac
}
