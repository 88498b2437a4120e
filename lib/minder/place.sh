# The two directories that others might have made for us, or might write to.

# are_places_safe WORK LOCKS: the first ours and written by nobody else; the second sticky, whichever of the lab's users came
# first and made it, or written by root or us alone. Else says in $reason which is not, and the mend.
are_places_safe() {
  reason=
  [ -d "$1" ] || mkdir -p "$1" 2>/dev/null
  [ -d "$2" ] || mkdir -m 1777 "$2" 2>/dev/null
  for place in "work directory $1" "lock directory $2"; do
    [ ! -L "/${place#*/}" ] || reason="the $place is a symbolic link; name the directory itself"
    [ -d "/${place#*/}" ] || reason="the $place is not there and cannot be made"
  done
  [ -z "$reason" ] || return 1
  # A mode, links, owner, group, size, month, day, time and path each, in the order of the paths.
  place_list=$(ls -ldn "$1" "$2") || return 1
  while read -r mode links owner rest; do
    case "/${rest#*/}" in
    "$1")
      what="the work directory $1"
      case $mode in d????w* | d???????w*) reason="$what can be written by others; chmod go-w it" ;; esac
      [ "$owner" = "$uid" ] || reason="$what belongs to user $owner, not to $uid"
      ;;
    "$2")
      what="the lock directory $2"
      case $mode in
      d????????[tT]*) ;;
      d????w* | d???????w*) reason="$what is not sticky; chmod 1777 it" ;;
      *) [ "$owner" = "$uid" ] || [ "$owner" = 0 ] || reason="$what belongs to user $owner alone; chmod 1777 it" ;;
      esac
      ;;
    *) reason="$1 and $2 cannot be examined" ;;
    esac
  done <<EOF
$place_list
EOF
  [ -z "$reason" ]
}
