# The two directories that others might have made for us, or might write to.

# are_places_safe WORK LOCKS OWNER: the first the owner's (if none is named, ours) and written by nobody else; the second
# sticky, whichever of the lab's users came first and made it, or written by root or the owner alone. Else says in $reason
# which is not, and the fix.
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

# read_place PATH: sets $mode and $place_of, the owner.
read_place() {
  set -- $(ls -ldn "$1" 2>/dev/null)
  mode=${1:-} place_of=${3:-}
}

# is_elevated_enough: or says in $reason why not. pfexec runs what it is given also where it gives no power.
is_elevated_enough() {
  [ "$elevated" = yes ] && [ "$uid" != 0 ] || return 0
  reason="elevated agents run as root, and the minder is user $uid; give this user a profile that makes pfexec give root"
  return 1
}

# is_host_usable: jobs can use the host's own /work and /input; else says in $reason why not.
is_host_usable() {
  for place in /work /input; do
    [ -d "$place" ] && [ -w "$place" ] && continue
    reason="without isolation jobs use this host's $place, which is not a directory that user $uid can write; mkdir -m 1777 /work /input"
    return 1
  done
}

# read_free_space PATH: sets $free_kb; empty where df does not say.
read_free_space() {
  line=$(df -Pk "$1" 2>/dev/null)
  line=${line#*"$newline"}
  line=${line%%"$newline"*}
  free_kb=
  # The last word before the percentage; a device's name may have spaces in it.
  for word in ${line% [0-9]*%*}; do free_kb=$word; done
  case $free_kb in *[!0-9]*) free_kb= ;; esac
}
