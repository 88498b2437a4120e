# Processes: identifies them and proves them dead. A pid alone proves nothing.

# know_host: this boot and this view of pids; an identity is comparable only within both.
know_host() {
  if read_line "$proc/sys/kernel/random/boot_id"; then
    boot=$line
    pid_space=$(readlink "$proc/self/ns/pid") || pid_space=none
    pid_space=${pid_space#pid:}
  else
    set -- $(who -b)
    boot=$*
    pid_space=none
  fi
  # Part of space-separated records.
  while :; do
    case $boot in *' '*) boot=${boot%% *}-${boot#* } ;; *) break ;; esac
  done
  [ -n "$boot" ] || boot=none
  uid=
  {
    while read -r line rest; do
      [ "$line" != Uid: ] || uid=${rest%%[!0-9]*}
      [ -z "$uid" ] || break
    done <"$proc/self/status"
  } 2>/dev/null
  [ -n "$uid" ] || uid=$(id -u)
}

# read_process PID|self: sets $seen to alive, dead or unknown, and what is seen of it: $seen_pid, $seen_state,
# $seen_group, $seen_start.
read_process() {
  # A process that is just ending can be listed but not read; the next time it is gone.
  for read_try in 1 2 3; do
    try_process "$1"
    [ "$seen" = unknown ] || return 0
  done
}

try_process() {
  seen=unknown seen_pid='' seen_state='' seen_parent=none seen_group='' seen_start=''
  if [ ! -r "$proc/self/stat" ]; then
    read_process_by_ps "$1"
    return
  fi
  stat_text=
  # A process's name may contain line breaks.
  { while IFS= read -r line; do stat_text="$stat_text $line"; done <"$proc/$1/stat"; } 2>/dev/null
  case $stat_text in
  *') '*)
    seen_pid=${stat_text%%" ("*}
    stat_rest=${stat_text#*") "}
    # The longest prefix is the right one, and slow to find; most names have no parenthesis.
    case $stat_rest in *')'*) stat_rest=${stat_text##*") "} ;; esac
    set -- $stat_rest
    seen_state=$1 seen_parent=$2 seen_group=$3 seen_start=${20}
    seen_pid=${seen_pid# }
    seen=alive
    ;;
  *)
    # A process that is hidden (hidepid) or cannot be read is not gone.
    if [ ! -e "$proc/$1" ] && [ -e "$proc/self" ]; then
      if [ -r "$proc/1/stat" ]; then
        seen=dead
      else
        case $(kill -0 "$1" 2>&1) in *'o such process'*) seen=dead ;; esac
      fi
    fi
    ;;
  esac
}

read_process_by_ps() {
  [ "$1" != self ] || set -- "$$"
  # lstart is not everywhere (illumos); stime is.
  if ps_line=$(ps -o pgid= -o stat= -o lstart= -p "$1" 2>/dev/null) && [ -n "$ps_line" ]; then
    :
  elif ps_line=$(ps -o pgid= -o s= -o stime= -p "$1" 2>/dev/null) && [ -n "$ps_line" ]; then
    :
  else
    # ps proves that another process is gone only if it shows this shell itself.
    case $(ps -o pid= -p "$$" 2>/dev/null) in *"$$"*) seen=dead ;; esac
    return
  fi
  seen_pid=$1
  set -- $ps_line
  seen_group=$1 seen_state=${2%"${2#?}"}
  shift 2
  seen_start=$*
  while :; do
    case $seen_start in *' '*) seen_start=${seen_start%% *}-${seen_start#* } ;; *) break ;; esac
  done
  seen=alive
}

# has_cookie PID COOKIE: the process was started with the cookie among its arguments.
has_cookie() {
  line=
  if [ -r "$proc/self/cmdline" ]; then
    { IFS= read -r line <"$proc/$1/cmdline"; } 2>/dev/null
  else
    line=$(ps -o args= -p "$1" 2>/dev/null)
  fi
  case $line in *"$2"*) return 0 ;; esac
  return 1
}

# judge BOOT PID_SPACE PID START COOKIE: sets $life to alive, dead or unknown, and $may_signal.
judge() {
  life=unknown may_signal=no
  [ "$#" = 5 ] || return 0
  case $3 in '' | *[!0-9]*) return 0 ;; esac
  if [ "$1" != "$boot" ]; then
    life=dead
    return 0
  fi
  [ "$2" = "$pid_space" ] || return 0
  judged_start=$4 judged_cookie=$5
  set -- "$3"
  read_process "$1"
  case $seen in
  dead) life=dead ;;
  alive)
    if [ "$seen_start" != "$judged_start" ]; then
      # Another process with the same pid.
      life=dead
    else
      case $seen_state in
      Z | X)
        # A zombie with living threads still runs; ours have none.
        life=dead
        ;;
      *)
        # The arguments are read byte by byte, and may disappear meanwhile.
        for judge_try in 1 2 3; do
          if has_cookie "$1" "$judged_cookie"; then
            life=alive may_signal=yes
          elif [ -z "$line" ]; then
            # It is ending and has released its arguments.
            life=alive
          fi
          [ "$life" = unknown ] || break
        done
        ;;
      esac
    fi
    ;;
  esac
}

# mark_of COOKIE: sets $mark to the number that the instance's processes have as a limit; empty without a cookie.
mark_of() {
  mark=${1%"${1#??????????????}"}
  [ -z "$mark" ] || mark=$((0x$mark))
}

# find_strays COOKIE DIRECTORY: sets $strays to the pids that carry the instance's cookie in their arguments or
# environment, its mark as a limit, or its directory as HOME or BUILDOMAT_OPT; $stray_proof to no where that cannot be searched.
find_strays() {
  strays='' stray_proof=yes
  if [ ! -r "$proc/self/environ" ]; then
    find_strays_by_group "$2"
    return
  fi
  set +f
  stray_files=$(
    # By a pipe: an argument would make the searcher find itself.
    mark_of "$1"
    printf '%s\n' "${1:-no cookie}" "=$2" "$nonce" " ${mark:-no mark} " |
      grep -alF -f - "$proc"/[0-9]*/cmdline "$proc"/[0-9]*/environ "$proc"/[0-9]*/limits 2>/dev/null
  )
  set -f
  stray_proof=no
  for stray_file in $stray_files; do
    stray=${stray_file#"$proc/"}
    stray=${stray%%/*}
    # This verb itself is not a stray, but a search that does not find it proves nothing.
    if [ "$stray" = "$$" ]; then
      stray_proof=yes
      continue
    fi
    case " $strays " in *" $stray "*) continue ;; esac
    if is_stray "$stray_file" "$1" "$2"; then strays="$strays $stray"; fi
  done
}

is_stray() {
  read_process "$stray"
  case $seen_state in Z | X) return 1 ;; esac
  case $1 in
  */limits)
    mark_of "$2"
    grep -q "^Max file locks *${mark:-none} " "$1" 2>/dev/null
    return
    ;;
  esac
  # In parentheses: ksh runs the end of a pipe in this shell itself, which `exit` would end.
  tr '\000' '\n' <"$1" 2>/dev/null | (
    while IFS= read -r line; do
      case $line in
      "HOME=$3" | "HOME=$3/"* | "BUILDOMAT_OPT=$3" | "BUILDOMAT_OPT=$3/"*) exit 0 ;;
      esac
      [ -z "$2" ] || case $line in
      "$2" | "BUILDOMAT_FACTORY_COOKIE=$2") exit 0 ;;
      esac
    done
    exit 1
  )
}

# Without /proc only the agent's process group can be searched.
find_strays_by_group() {
  read_line "$1/minder/agent" || return 0
  stray_group=$line
  set -- $(ps -A -o pid= -o pgid= 2>/dev/null)
  [ "$#" -gt 0 ] || stray_proof=no
  while [ "$#" -gt 1 ]; do
    if [ "$2" = "$stray_group" ]; then
      case $(ps -o stat= -p "$1" 2>/dev/null) in '' | Z*) ;; *) strays="$strays $1" ;; esac
    fi
    shift 2
  done
}

# end_strays COOKIE DIRECTORY: kills them until none is left; false if some survive.
end_strays() {
  waited=0
  while :; do
    find_strays "$1" "$2"
    [ -n "$strays" ] || return 0
    for stray in $strays; do kill -KILL "$stray" 2>/dev/null; done
    [ "$waited" -lt 5000 ] || return 1
    pause
  done
}
