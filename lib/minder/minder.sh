#!/bin/sh
# The minder: one detached job process of a testbed, on the host where the testbed hangs. POSIX sh, no other program
# assumed than the POSIX ones; setsid, unshare, setpriv and /proc are used where they are.
#
#   sh minder.sh VERB NONCE ...        answers in plain lines on stdout, between "NONCE begin" and "NONCE end"
#
# What must stay true, whoever is killed and whenever:
# - One live holder a testbed. A lock is a file of its own for each contender, announced before the others are looked at.
# - An agent is started once. `claim` is made by one ln, by whoever says "go" or "expired" first; only "go" starts it.
# - A process is signalled only if boot, pid, start time and cookie are those on record; dead is proved the same way.
# - Foreign text is read with `read -r`, kept in quotes and passed as arguments; nothing is evaluated.
#
# Processes of an isolated instance:  minder -> unshare -> first (pid 1 of a namespace) -> agent -> ...
# `gate` is a pipe from the minder (and `go`) to first, `events` one from first to the minder: each sees the other's death
# as its end of file.

set -uf
LC_ALL=C PATH=${PATH:-/usr/bin:/bin}:/usr/bin:/bin:/usr/sbin:/sbin
export LC_ALL PATH
unset CDPATH ENV BASH_ENV
umask 077
# Where the kernel shows processes; a place without it is served by ps.
proc=/proc
tab='	'
newline='
'
# The space first: it joins what "$*" joins.
IFS=" $tab$newline"

# ---- Words ----

# answer LINE...: a verb's result.
answer() {
  for answer_line; do printf '%s\n' "$answer_line"; done
}

# read_line FILE: the first line into $line; false where there is none.
read_line() {
  line=
  { IFS= read -r line <"$1"; } 2>/dev/null || [ -n "$line" ]
}

# pause: a short wait, counted in $waited (ms).
pause() {
  if [ "${has_short_sleep:-yes}" = yes ]; then
    if [ "$waited" -lt 30 ]; then pause_ms=5; else pause_ms=40; fi
    if sleep "0.0$((pause_ms / 10))$((pause_ms % 10))" 2>/dev/null; then
      waited=$((waited + pause_ms))
      return
    fi
    has_short_sleep=no
  fi
  sleep 1
  waited=$((waited + 1000))
}

# ---- Processes: who is who ----

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
  # One that is just ending can be seen and not be read; the next time it is gone.
  for read_try in 1 2 3; do
    try_process "$1"
    [ "$seen" = unknown ] || return 0
  done
}

try_process() {
  seen=unknown seen_pid='' seen_state='' seen_group='' seen_start=''
  if [ ! -r "$proc/self/stat" ]; then
    read_process_by_ps "$1"
    return
  fi
  stat_text=
  # A process may have line breaks in its name.
  { while IFS= read -r line; do stat_text="$stat_text $line"; done <"$proc/$1/stat"; } 2>/dev/null
  case $stat_text in
  *') '*)
    seen_pid=${stat_text%% (*}
    stat_rest=${stat_text#*) }
    # The longest prefix is the right one, and slow to find; most names have no parenthesis.
    case $stat_rest in *')'*) stat_rest=${stat_text##*) } ;; esac
    set -- $stat_rest
    seen_state=$1 seen_group=$3 seen_start=${20}
    seen_pid=${seen_pid# }
    seen=alive
    ;;
  *)
    # Hidden (hidepid) is not gone, nor is what could not be read.
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
    # Only a ps that shows this very shell proves anything by not showing another process.
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
      # Another process with a used pid.
      life=dead
    else
      case $seen_state in
      Z | X)
        # A zombie with living threads still runs; ours have none.
        life=dead
        ;;
      *)
        # The arguments are read byte by byte, and may go in the middle.
        for judge_try in 1 2 3; do
          if has_cookie "$1" "$judged_cookie"; then
            life=alive may_signal=yes
          elif [ -z "$line" ]; then
            # It is on its way out and has given its arguments back.
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

# find_strays COOKIE DIRECTORY: sets $strays to the pids that carry the instance's cookie in their arguments or
# environment, or its directory as HOME or BUILDOMAT_OPT; $stray_proof to no where that cannot be searched.
find_strays() {
  strays='' stray_proof=yes
  if [ ! -r "$proc/self/environ" ]; then
    find_strays_by_group "$2"
    return
  fi
  set +f
  stray_files=$(
    # By a pipe: an argument would make the searcher find itself.
    printf '%s\n' "${1:-no cookie}" "=$2" | grep -alF -f - "$proc"/[0-9]*/cmdline "$proc"/[0-9]*/environ 2>/dev/null
  )
  set -f
  for stray_file in $stray_files; do
    stray=${stray_file#"$proc/"}
    stray=${stray%%/*}
    # Never this verb itself, whatever its caller put into the environment.
    [ "$stray" != "$$" ] || continue
    case " $strays " in *" $stray "*) continue ;; esac
    if is_stray "$stray_file" "$1" "$2"; then strays="$strays $stray"; fi
  done
}

is_stray() {
  read_process "$stray"
  case $seen_state in Z | X) return 1 ;; esac
  tr '\000' '\n' <"$1" 2>/dev/null | {
    while IFS= read -r line; do
      case $line in
      "HOME=$3" | "HOME=$3/"* | "BUILDOMAT_OPT=$3" | "BUILDOMAT_OPT=$3/"*) exit 0 ;;
      esac
      [ -z "$2" ] || case $line in
      "$2" | "BUILDOMAT_FACTORY_COOKIE=$2") exit 0 ;;
      esac
    done
    exit 1
  }
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

# end_strays COOKIE DIRECTORY: kills them until none is left; false where some stay.
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

# ---- Places ----

# are_places_safe WORK LOCKS: the first ours and written by nobody else, the second the same or a sticky one of root's; else
# says in $reason which is not, and the mend.
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
      esac
      [ "$owner" = "$uid" ] || [ "$owner" = 0 ] || reason="$what belongs to user $owner; it must be root's or your own"
      ;;
    *) reason="$1 and $2 cannot be examined" ;;
    esac
  done <<EOF
$place_list
EOF
  [ -z "$reason" ]
}

# ---- Locks ----
# A lock is a file LOCKS/TESTBED@COOKIE@PID@START that names the minder. Its lines: "BOOT PID_SPACE UID", instance,
# directory, "."; then, appended: "open" (not isolated), "first PID START", "held".

# read_lock FILE: sets $lock_* from its name and content.
read_lock() {
  lock_first='' lock_start_first='' lock_instance='' lock_directory_of='' lock_head='' lock_uid=''
  lock_is_whole=no lock_is_open=no lock_is_held=no
  lock_rest=${1##*/}
  lock_testbed=${lock_rest%%@*}
  lock_rest=${lock_rest#*@}
  lock_cookie=${lock_rest%%@*}
  lock_rest=${lock_rest#*@}
  lock_pid=${lock_rest%%@*}
  lock_start=${lock_rest#*@}
  {
    IFS= read -r lock_head
    IFS= read -r lock_instance
    IFS= read -r lock_directory_of
    while IFS= read -r line; do
      case $line in
      .) lock_is_whole=yes ;;
      open) lock_is_open=yes ;;
      held) lock_is_held=yes ;;
      'first '*)
        lock_start_first=${line##* }
        line=${line% *}
        lock_first=${line#first }
        ;;
      esac
    done
  } <"$1" 2>/dev/null
  case $lock_head in *' '*' '*) ;; *) lock_head="$boot $pid_space none" ;; esac
  lock_space=${lock_head#* }
  lock_uid=${lock_space#* }
  lock_space=${lock_space%% *}
  lock_boot=${lock_head%% *}
}

# judge_lock: sets $lock_life for the lock just read: dead only if minder and agent are.
judge_lock() {
  judge "$lock_boot" "$lock_space" "$lock_pid" "$lock_start" "$lock_cookie"
  lock_life=$life lock_minder_life=$life lock_first_life=dead
  # Without these lines no agent can have been started: they are written before it is possible.
  if [ -n "$lock_first" ]; then
    judge "$lock_boot" "$lock_space" "$lock_first" "$lock_start_first" "$lock_cookie"
    lock_first_life=$life
    [ "$lock_life" != dead ] || lock_life=$life
  fi
  if [ "$lock_life" = dead ] && [ "$lock_is_open" = yes ] && [ "$lock_boot" = "$boot" ]; then
    find_strays "$lock_cookie" "$lock_directory_of"
    [ -z "$strays" ] || lock_life=alive
    # Another user's environments cannot be read.
    if [ -z "$strays" ] && { [ "$stray_proof" = no ] || [ "$lock_uid" != "$uid" ] && [ "$uid" != 0 ]; }; then
      lock_life=unknown
    fi
  fi
}

# list_locks NAME COOKIE: sets $lock_files, one a line, to the locks of a testbed and an instance ("*": of all).
list_locks() {
  lock_files=
  set +f
  case $1 in
  '*') set -- "$locks"/*@$2@*@* "$locks"/.host@$2@*@* ;;
  *) set -- "$locks/$1"@$2@*@* ;;
  esac
  set -f
  for lock_file; do
    [ -f "$lock_file" ] && lock_files="$lock_files$lock_file$newline"
  done
}

# take_lock NAME: 0 held; 1 not, and $holder says who has it. Each contender announces itself first and looks at the others
# then, so that of any two the later one sees the earlier; among those still contending the smallest name goes first.
take_lock() {
  my_lock="$locks/$1@$cookie@$my_pid@$my_start"
  umask 022
  lock_text="$boot $pid_space $uid$newline$instance$newline$directory$newline."
  if ! { set -C && printf '%s\n' "$lock_text" >"$my_lock"; } 2>/dev/null; then
    set +C
    umask 077
    holder="cannot write in $locks"
    return 2
  fi
  set +C
  umask 077
  [ "$isolate" != off ] || printf 'open\n' >>"$my_lock"
  waited=0
  while :; do
    must_wait=no holder=
    list_locks "$1" '*'
    while IFS= read -r lock_file && [ -n "$lock_file" ]; do
      [ "$lock_file" != "$my_lock" ] || continue
      read_lock "$lock_file"
      judge_lock
      if [ "$lock_life" = dead ]; then
        # Its name is never used again, so that nobody else's lock can be hit. In a sticky directory others' stay.
        rm -f "$lock_file" 2>/dev/null
      elif [ "$lock_is_held" = yes ] || [ "$lock_life" = unknown ] || is_before "$lock_file" "$my_lock"; then
        holder="${lock_instance:-an unnamed instance} in ${lock_directory_of:-an unknown directory} (user $lock_uid)"
      else
        must_wait=yes
      fi
    done <<EOF
$lock_files
EOF
    if [ -n "$holder" ] || [ "$waited" -gt 3000 ]; then
      rm -f "$my_lock"
      holder=${holder:-another factory that is arming}
      return 1
    fi
    [ "$must_wait" = yes ] || break
    pause
  done
  printf 'held\n' >>"$my_lock"
}

# is_before A B: in byte order, which expr leaves to the locale (C here).
is_before() {
  expr "x$1" \< "x$2" >/dev/null
}

# drop_dead_locks DIRECTORY: removes the locks of an instance whose owners are proved dead.
drop_dead_locks() {
  list_locks '*' "${cookie:-*}"
  while IFS= read -r lock_file && [ -n "$lock_file" ]; do
    read_lock "$lock_file"
    # One that was killed before it wrote its directory has its cookie in the name.
    [ "$lock_directory_of" = "$1" ] || [ "$lock_cookie" = "${cookie:-none}" ] || continue
    judge_lock
    [ "$lock_life" != dead ] || rm -f "$lock_file" 2>/dev/null
  done <<EOF
$lock_files
EOF
}

# ---- An instance's records ----

# claim WHAT: the one act that go and expiry contend for. True for whoever made it. $claimed says who did.
claim() {
  if read_line "$directory/minder/claim"; then
    claimed=$line
    return 1
  fi
  claim_file="$directory/minder/$1.$$"
  printf '%s\n' "$1" "${2:-}" >"$claim_file" || return 1
  ln "$claim_file" "$directory/minder/claim" 2>/dev/null
  claim_result=$?
  rm -f "$claim_file"
  claimed=
  read_line "$directory/minder/claim" && claimed=$line
  return "$claim_result"
}

# json_field NAME: from the record in $record, which this script wrote itself, on one line.
json_field() {
  field=
  case $record in *"\"$1\":"*) ;; *) return 1 ;; esac
  field=${record#*\""$1"\":}
  field=${field%%[,\}]*}
  field=${field#\"}
  field=${field%\"}
}

# read_instance DIRECTORY: sets $minder_* and $first_* (life and identity), $went, $claimed, $cap.
read_instance() {
  minder_life=unknown minder_pid='' minder_start='' cookie=
  first_life=unknown first_pid='' first_start=''
  went=no claimed='' cap=0 isolate=auto
  if read_line "$1/minder/claim"; then
    claimed=$line
    [ "$claimed" != go ] || went=yes
  fi
  if read_line "$1/minder/minder"; then
    set -- "$1" $line
    if [ "$#" = 8 ]; then
      minder_boot=$2 minder_space=$3 minder_pid=$4 minder_start=$5 cookie=$6 isolate=$7 cap=$8
      judge "$2" "$3" "$4" "$5" "$6"
      minder_life=$life
    fi
  fi
  if read_line "$1/minder/identity.json"; then
    record=$line
    json_field boot_id && first_boot=$field && json_field pid_space && first_space=$field &&
      json_field pid && first_pid=$field && json_field start_time && first_start=$field &&
      json_field cookie && judge "$first_boot" "$first_space" "$first_pid" "$first_start" "$field" &&
      first_life=$life
  fi
}

# is_unstarted: nobody has written who the first process is, and it was never armed: whatever was begun ends by itself.
is_unstarted() {
  [ ! -e "$directory/minder/armed" ] && [ ! -s "$directory/minder/identity.json" ]
}

# ---- arm ----

# arm SHELL DIRECTORY LOCKS: the specification is on stdin, its first line the cookie.
arm() {
  exec 3<&0
  IFS= read -r cookie <&3
  answer "$(launch "$1" "$0" mind "$cookie" "$1" "$2" "$3")"
}

# launch: a session of its own, or at least a process group, so that no signal for the factory reaches it. It keeps this
# pipe open until it has reported.
launch() {
  if command -v setsid >/dev/null; then
    setsid "$@" <&3 2>/dev/null 3<&- &
  else
    set -m
    nohup "$@" <&3 2>/dev/null 3<&- &
  fi
}

# report LINE: to `arm`, which waits for the end of this pipe.
report() {
  printf '%s\n' "$1" >&7
  exec 7>&-
}

# give_up LINE: nothing may be left behind.
give_up() {
  # By names from within: whoever took this minder for dead may have made the directory anew meanwhile.
  [ "$is_inside" = no ] || rm -rf minder home opt input work agent.log
  cd /
  rmdir "$directory" 2>/dev/null
  [ -z "${my_host_lock:-}" ] || rm -f "$my_host_lock"
  [ -z "${my_lock:-}" ] || rm -f "$my_lock"
  report "$1"
  exit 0
}

# mind COOKIE SHELL DIRECTORY LOCKS: the minder itself.
mind() {
  # Caught, not ignored, because what is ignored stays so in the agent: a report that nobody reads must not end us.
  trap : PIPE
  exec 7>&1 >/dev/null
  cd /
  cookie=$1 shell=$2 directory=$3 locks=$4
  # What this shell starts can be found by it, should it be killed.
  export BUILDOMAT_FACTORY_COOKIE="$cookie"
  instance='' testbed='' isolate=auto expiry=120 log_cap=100000000 testbed_json='{}' intent_json='{}'
  about='' agent='' bmat_text='' bmat_count=0 is_whole=no shows_host=no
  know_host
  read_process self
  my_pid=$$ my_start=$seen_start
  # The arguments become what `first` runs: environment, a wrapper where one is needed, agent.
  shift "$#"
  while IFS= read -r line; do
    value=${line#* }
    case ${line%% *} in
    instance) instance=$value ;;
    about) about=$value ;;
    testbed) testbed=$value ;;
    isolate)
      # Where the system has no namespaces there is nothing to ask for.
      if [ -e "$proc/self/ns/pid" ]; then isolate=$value; else isolate=off; fi
      ;;
    expiry) expiry=$value ;;
    log-cap) log_cap=$value ;;
    testbed-json) testbed_json=$value ;;
    intent-json) intent_json=$value ;;
    bmat)
      show_inside "$value"
      bmat_count=$((bmat_count + 1)) bmat_path=$inside
      quote "$inside"
      bmat_text="$bmat_text $quoted"
      ;;
    environment)
      show_inside "${value#*=}"
      set -- "$@" "${value%%=*}=$inside"
      ;;
    agent)
      show_inside "$value"
      if [ -z "$agent" ]; then
        agent=$value
        if [ "$isolate" != off ] && [ "$uid" != 0 ] && command -v setpriv >/dev/null; then
          # Building the namespaces took capabilities in them; jobs are to see their own user and no more.
          set -- "$@" "$(command -v setpriv)" --inh-caps=-all --ambient-caps=-all
        else
          # env would take such a path for a variable.
          case $inside in *=*) set -- "$@" "$(command -v nice)" -n 0 ;; esac
        fi
      fi
      set -- "$@" "$inside"
      ;;
    end) is_whole=yes ;;
    esac
  done
  exec </dev/null
  if [ "$is_whole" = no ]; then
    report 'failed the specification was cut short'
    exit 0
  fi

  work=${directory%/*}
  if ! are_places_safe "$work" "$locks"; then
    report "failed $reason"
    exit 0
  fi
  until mkdir "$directory" 2>/dev/null; do join_or_clear; done
  is_inside=no
  cd "$directory" && is_inside=yes || give_up "failed $directory was removed"
  # What jobs see as /work and /input is open to all users that they have; the instance directory around them is not.
  mkdir minder minder/root home opt opt/etc opt/bin opt/run && mkdir -m 755 input work &&
    printf '%s\n' "$boot $pid_space $my_pid $my_start $cookie $isolate $log_cap" >minder/minder ||
    give_up "failed cannot write in $directory"

  my_lock='' my_host_lock=''
  if [ "$isolate" = off ]; then
    take_lock .host
    case $? in
    1) give_up "elsewhere $holder, not isolated: one such instance at a time on a host" ;;
    2) give_up "failed $holder" ;;
    esac
    my_host_lock=$my_lock
  fi
  take_lock "$testbed"
  case $? in
  1) my_lock='' && give_up "elsewhere $holder" ;;
  2) my_lock='' && give_up "failed $holder" ;;
  esac
  build
  start_first "$@"
  cd /
  attend
}

# join_or_clear: the directory is there. Returns when it is worth trying to make it again.
join_or_clear() {
  waited=0
  if [ -L "$directory" ] || { [ -e "$directory" ] && [ ! -d "$directory" ]; }; then
    report "failed $directory is in the way; remove it"
    exit 0
  fi
  if [ ! -e "$directory" ]; then
    report "failed cannot make $directory"
    exit 0
  fi
  wanted=$cookie
  while [ -d "$directory" ]; do
    read_instance "$directory"
    if [ -n "$cookie" ] && [ "$cookie" != "$wanted" ]; then
      report "failed $directory is another instance's; an instance directory is never used again"
      exit 0
    fi
    if [ "$went" = yes ] || { [ -z "$claimed" ] && [ -e "$directory/minder/armed" ] &&
      [ "$first_life" = alive ] && [ "$minder_life" = alive ]; }; then
      report armed
      exit 0
    fi
    # Made, and its maker killed before it could write anything; this removes only what is empty.
    if [ "$waited" -gt 1000 ] && [ ! -e "$directory/minder" ] && ! rmdir "$directory" 2>/dev/null; then
      report "failed $directory is there already; an instance directory is never used again"
      exit 0
    fi
    # Nobody is alive and nobody went: it may be built anew, by one of us, if go cannot come in between. Where no minder is
    # on record, the one that made the directory is about to write it, or was killed before it could.
    if may_clear && { mkdir "$directory/minder/clearing" 2>/dev/null || [ "$waited" -gt 2000 ]; }; then
      # It may have become another one since it was read.
      read_instance "$directory"
      if may_clear && { claim expired || [ "$claimed" = expired ]; }; then
        end_strays "$wanted" "$directory"
        rm -rf "$directory"
      else
        rmdir "$directory/minder/clearing" 2>/dev/null
      fi
    fi
    if [ "$waited" -gt 20000 ]; then
      report "failed $directory is there already, and who made it cannot be told; an instance directory is never used again"
      exit 0
    fi
    [ ! -d "$directory" ] || pause
  done
  cookie=$wanted
}

may_clear() {
  { [ "$minder_life" = dead ] || { [ -z "$cookie" ] && [ "$waited" -gt 1000 ] && [ -d "$directory/minder" ]; }; } &&
    { [ "$first_life" = dead ] || is_unstarted; }
}

# build: directories and files, and what must be true before a job is taken.
build() {
  case $agent in
  /*) ;;
  '') give_up 'failed no agent is configured' ;;
  *) give_up "failed the agent's path $agent is not absolute" ;;
  esac
  [ -e "$agent" ] || give_up "failed the agent $agent is not there; install it or correct general.agent"
  [ -f "$agent" ] || give_up "failed the agent $agent is not a file"
  [ -x "$agent" ] || give_up "failed the agent $agent is not executable; chmod +x it"
  socket=$directory/opt/run/buildomat.sock
  # sun_path is 104 bytes on some systems, its final zero included.
  [ "${#socket}" -le 103 ] ||
    give_up "failed the path $socket is longer than a socket's may be (103 bytes); choose a shorter general.work_dir"
  {
    IFS= read -r line
    IFS= read -r line
  } <<EOF
$(df -Pk "$directory" 2>/dev/null)
EOF
  free_kb=${line%% [0-9]*%*}
  free_kb=${free_kb##* }
  case $free_kb in
  '' | *[!0-9]*) ;;
  *) [ "$free_kb" -ge 65536 ] || give_up "failed only $free_kb KB are free in $work; 64 MB are needed" ;;
  esac
  mkfifo minder/gate minder/events &&
    printf '%s\n' "$testbed_json" >home/testbed.json &&
    printf '%s\n' "$intent_json" >minder/intent.json &&
    printf '' >agent.log ||
    give_up "failed cannot write in $directory"
  case $bmat_count in
  0) ;;
  1) ln -s "$bmat_path" "$directory/opt/bin/bmat" || give_up "failed cannot link $directory/opt/bin/bmat" ;;
  *)
    printf '#!/bin/sh\nexec%s "$@"\n' "$bmat_text" >"$directory/opt/bin/bmat" &&
      chmod 700 "$directory/opt/bin/bmat" || give_up "failed cannot write $directory/opt/bin/bmat"
    ;;
  esac
  if [ "$isolate" = off ]; then
    for place in /work /input; do
      [ -d "$place" ] && [ -w "$place" ] ||
        give_up "failed without isolation jobs use this host's $place, which is not a directory that can be written; make it"
    done
  elif ! command -v unshare >/dev/null; then
    give_up 'failed there is no unshare program to isolate an instance with; install util-linux or set general.isolate = "off"'
  fi
}

# quote TEXT: sets $quoted to a word of sh that is the text.
quote() {
  quote_rest=$1 quoted="'"
  while :; do
    case $quote_rest in
    *\'*)
      quoted="$quoted${quote_rest%%\'*}'\\''"
      quote_rest=${quote_rest#*\'}
      ;;
    *) break ;;
    esac
  done
  quoted="$quoted$quote_rest'"
}

# show_inside PATH: sets $inside to where an isolated instance sees it. What the host has below /work and /input is hidden
# by the instance's own, and shown below /.host where something of it is needed.
show_inside() {
  inside=$1
  [ "$isolate" != off ] || return 0
  case $1 in /work/* | /input/*) inside=/.host$1 shows_host=yes ;; esac
}

# start_first COMMAND...: the instance's first process, in namespaces of its own. Returns when these are proved built.
start_first() {
  show_inside "$directory"
  # Both ends of each are opened before first starts, so that no open waits for somebody who may be dead.
  exec 4<>"$directory/minder/gate" 3<"$directory/minder/gate"
  exec 6<>"$directory/minder/events" 5<"$directory/minder/events"
  # By a file, because everybody can read arguments, and `look` reads them all.
  printf '%s\n' "$boot" "$pid_space" "$isolate" "$shows_host" "$about" "$@" >"$directory/minder/command" ||
    give_up "failed cannot write in $directory"
  set -- "$shell" "$0" first "$cookie" "$directory"
  if [ "$isolate" != off ]; then
    if [ "$uid" = 0 ]; then
      set -- --pid --fork --kill-child --mount "$@"
    else
      set -- --user --map-current-user --keep-caps --pid --fork --kill-child --mount "$@"
    fi
    set -- unshare "$@"
  elif command -v setsid >/dev/null; then
    set -- setsid "$@"
  fi
  { cd / && exec "$@"; } 4>&- 5<&- 7>&- 2>"$directory/minder/trouble" &
  exec 3<&- 6>&-
  IFS= read -r event <&5
  case $event in
  ready\ *)
    # Whoever finds this lock after our death knows by this line whom to look for.
    printf 'first %s\n' "${event#ready }" >>"$my_lock" &&
      { [ -z "$my_host_lock" ] || printf 'first %s\n' "${event#ready }" >>"$my_host_lock"; } &&
      printf '' >"$directory/minder/armed" && return 0
    trouble="cannot write in $locks or $directory"
    ;;
  *)
    read_line "$directory/minder/trouble"
    trouble="${event#failed }"
    trouble="cannot isolate an instance: ${trouble:-${line:-unshare failed}}; allow user namespaces or set general.isolate = \"off\""
    ;;
  esac
  exec 4>&-
  wait
  give_up "failed $trouble"
}

# attend: armed. Waits for the end of all that first is or was, and lets go of the testbed then.
attend() {
  report armed
  remind &
  timer=$!
  while IFS= read -r event <&5; do
    case $event in
    time) timer= && printf 'time\n' >&4 ;;
    # The reminder is not needed any more; its own trap ends its sleep.
    went) end_reminder ;;
    esac
  done
  end_reminder
  wait
  if [ "$isolate" = off ]; then
    find_strays "$cookie" "$directory"
    # This shell and its children carry the cookie as well.
    for stray in $strays; do
      read_process "$stray"
      [ "$stray" = "$$" ] || [ "$seen" = dead ] || exit 0
    done
  fi
  if claim expired || [ "$claimed" = expired ]; then
    cd "$directory" && rm -rf home opt input work agent.log minder/root minder/gate minder/events minder/intent.json \
      minder/armed minder/trouble minder/command minder/mounts minder/identity.json
    cd /
  fi
  [ -z "$my_host_lock" ] || rm -f "$my_host_lock"
  rm -f "$my_lock"
}

end_reminder() {
  [ -z "$timer" ] || kill "$timer" 2>/dev/null
  timer=
}

# remind: says when the time to go is over; first then contends for the claim.
remind() {
  exec 4>&- 5<&-
  is_over=no nap=
  trap 'is_over=yes; [ -z "$nap" ] || kill "$nap"' TERM
  sleep "$expiry" &
  nap=$!
  [ "$is_over" = no ] || kill "$nap"
  wait "$nap"
  [ "$is_over" = no ] || exit 0
  [ ! -p "$directory/minder/events" ] || printf 'time\n' 1<>"$directory/minder/events"
}

# ---- The first process ----

# first COOKIE DIRECTORY: stdin null, 3 the gate, 6 the events, stderr a file.
first() {
  cookie=$1 directory=$2
  shift 2
  while IFS= read -r line; do set -- "$@" "$line"; done <"$directory/minder/command"
  [ "$#" -gt 5 ] || exit 1
  boot=$1 pid_space=$2 isolate=$3 shows_host=$4 about=$5
  shift 5
  is_stopping=no
  trap 'is_stopping=yes' TERM
  trap : PIPE
  # /proc is still the one of the outside: it shows this process with the pid that others know it by.
  read_process self
  printf '{"boot_id":"%s","pid_space":"%s","pid":%s,"start_time":"%s","pgid":%s,"cookie":"%s"%s}\n' "$boot" "$pid_space" \
    "$seen_pid" "$seen_start" "$seen_group" "$cookie" "${about:+,$about}" >"$directory/minder/identity.json" ||
    exit 1
  ready="ready $seen_pid $seen_start"
  if [ "$isolate" != off ]; then
    isolate_mounts || exit 1
    show_inside "$directory"
    directory=$inside
  fi
  cd /
  printf '%s\n' "$ready" >&6
  default_signals=
  # What this shell or its parents ignore would stay ignored in the agent and its jobs.
  if env --default-signal true 2>/dev/null; then default_signals=--default-signal; fi
  # A word, or the end of file when the minder is gone, or a signal: whichever, the claim decides.
  IFS= read -r word <&3
  read_line "$directory/minder/claim" && claimed=$line || claimed=
  [ -n "$claimed" ] || claim expired
  if [ "$claimed" != go ] || [ "$is_stopping" = yes ]; then exit 0; fi
  run_agent "$@"
}


# run_agent COMMAND...: as a child of this shell, which reaps what the agent leaves behind, and stays after its end, because
# with it all else would end.
run_agent() {
  # Once, whatever else goes wrong.
  { set -C && printf '' >"$directory/minder/started"; } 2>/dev/null || exit 1
  set +C
  trapped=no nap='' agent=''
  trap forward_term TERM
  set -- env -i $default_signals -- "$@"
  # A process group of its own, where that is what the agent's processes are found by.
  if [ "$isolate" = off ] && command -v setsid >/dev/null; then set -- setsid "$@"; fi
  # The file is there and private; what jobs make has the usual mode.
  umask 022
  "$@" </dev/null >>"$directory/agent.log" 2>&1 3<&- 6>&- &
  agent=$!
  umask 077
  printf '%s\n' "$agent" >"$directory/minder/agent"
  printf 'went\n' >&6
  # It may have come before there was anybody to forward it to.
  [ "$is_stopping" = no ] || forward_term
  status=
  while :; do
    trapped=no
    wait "$agent"
    wait_status=$?
    # A signal ends `wait` early; a shell that had the agent's end already says 127 the second time.
    if [ "$wait_status" != 127 ] || [ -z "$status" ]; then status=$wait_status; fi
    [ "$trapped" = yes ] || break
  done
  agent=
  if [ "$status" -gt 128 ]; then what="signal\":$((status - 128))"; else what="code\":$status"; fi
  printf '{"%s}\n' "$what" >"$directory/minder/exit.new" &&
    mv "$directory/minder/exit.new" "$directory/minder/exit.json"
  [ "$is_stopping" = no ] || exit 0
  while :; do
    sleep 3600 3<&- 6>&- &
    nap=$!
    wait "$nap"
  done
}

forward_term() {
  is_stopping=yes trapped=yes
  if [ -n "$agent" ]; then
    if [ "$isolate" = off ]; then kill -TERM "-$agent" 2>/dev/null || kill -TERM "$agent" 2>/dev/null; else kill -TERM "$agent" 2>/dev/null; fi
  elif [ -n "$nap" ]; then
    kill "$nap" 2>/dev/null
    exit 0
  fi
}

# isolate_mounts: /proc of the new pid namespace, and the instance's own /work and /input. The host's / is never written.
isolate_mounts() {
  if [ -d /work ] && [ -d /input ] && [ "$shows_host" = no ]; then
    mount --bind "$directory/work" /work && mount --bind "$directory/input" /input && mount -t proc proc /proc
  else
    change_root "$directory/minder/root"
  fi || return 1
  show_inside "$directory"
  read_process self
  if [ "$seen_pid" != 1 ] || ! [ "$inside/work" -ef /work ] || ! [ "$inside/input" -ef /input ]; then
    printf 'failed the namespaces are not what was asked for\n' >&6
    return 1
  fi
}

# change_root NEW: an empty root, into which all that the host has in / is bound, but for /work, /input and /proc.
change_root() {
  root=$1 mounts='' directories='' links=''
  mount -t tmpfs -o mode=755 tmpfs "$root" || return 1
  set +f
  set -- /* /.[!.]* /..?*
  set -f
  # Two lists in one: the arguments become what mkdir makes, the file's lines what mount mounts.
  count=$#
  while [ "$count" -gt 0 ]; do
    count=$((count - 1)) entry=$1
    shift
    case $entry in
    /work | /input | /proc | /.host | /.old | *"$newline"*) continue ;;
    esac
    if [ -L "$entry" ]; then
      case $entry in *[\ "$tab"]*) ;; *) links="$links $entry" ;; esac
    elif [ -d "$entry" ]; then
      set -- "$@" "$root$entry"
      add_mount "$entry" "$root$entry" rbind
    elif [ -e "$entry" ]; then
      printf '' >"$root$entry" || return 1
      add_mount "$entry" "$root$entry" bind
    fi
  done
  add_mount "$directory/work" "$root/work" bind
  add_mount "$directory/input" "$root/input" bind
  if [ "$shows_host" = yes ]; then
    for entry in /work /input; do
      [ -d "$entry" ] || continue
      mkdir -p "$root/.host$entry" || return 1
      add_mount "$entry" "$root/.host$entry" rbind
    done
  fi
  mkdir "$@" "$root/work" "$root/input" "$root/proc" "$root/.old" || return 1
  [ -z "$links" ] || cp -RP $links "$root/" || return 1
  add_mount proc "$root/proc" proc
  printf '%s' "$mounts" >"$directory/minder/mounts" || return 1
  mount -a -T "$directory/minder/mounts" || return 1
  cd "$root" && pivot_root . .old && cd / && umount -l /.old && rmdir /.old
}

# add_mount FROM TO HOW: a line for `mount -a`, which makes all of them in one process.
add_mount() {
  mount_line=
  for field in "$1" "$2"; do
    while :; do
      case $field in
      *[\\\ "$tab"]*)
        plain=${field%%[\\\ "$tab"]*}
        field=${field#"$plain"}
        case $field in
        \\*) mount_line="$mount_line$plain\\134" ;;
        ' '*) mount_line="$mount_line$plain\\040" ;;
        *) mount_line="$mount_line$plain\\011" ;;
        esac
        field=${field#?}
        ;;
      *) break ;;
      esac
    done
    mount_line="$mount_line$field "
  done
  case $3 in
  proc) mounts="$mounts${mount_line}proc defaults 0 0$newline" ;;
  *) mounts="$mounts${mount_line}none $3 0 0$newline" ;;
  esac
}

# ---- go ----

# go DIRECTORY LOCKS: stdin is "worker JSON", lines of etc/agent.json each after a space, "end". Its secret is never an argument.
go() {
  directory=$1 locks=$2
  worker_json='' is_whole=no agent_json=
  while IFS= read -r line; do
    case $line in
    'worker '*) worker_json=${line#worker } ;;
    ' '*) agent_json="$agent_json${line# }$newline" ;;
    end) is_whole=yes ;;
    esac
  done
  know_host
  if [ "$is_whole" = no ]; then
    answer 'cannot-tell the request was cut short'
    return
  fi
  if [ ! -d "$directory/minder" ]; then
    if is_locked_elsewhere; then
      answer "cannot-tell $directory is gone, and $holder lives"
    else
      answer expired
    fi
    return
  fi
  # Its directory may be changing while it is read: only what stays so for a while is an answer.
  waited=0 trouble='it is not armed yet'
  while :; do
    read_instance "$directory"
    [ -n "$claimed" ] || claim_for_go
    case $claimed in go | expired) break ;; esac
    [ "$waited" -lt 1000 ] || break
    pause
  done
  case $claimed in
  go)
    # It lasts before anything is started, as does who it is: whoever reads `go` never starts another one.
    if ! sync "$directory/minder/claim" "$directory/minder/minder" "$directory/minder/identity.json" \
      "$directory/minder" 2>/dev/null && ! sync; then
      answer "cannot-tell cannot make the mark in $directory last"
    else
      if [ ! -e "$directory/minder/started" ] && [ -p "$directory/minder/gate" ]; then
        printf 'go\n' 1<>"$directory/minder/gate"
      fi
      answer went
    fi
    ;;
  expired)
    rm -f "$directory/opt/etc/agent.json"
    answer expired
    ;;
  *) answer "cannot-tell $trouble" ;;
  esac
}

# claim_for_go: nobody has yet; or says in $trouble why not.
claim_for_go() {
  if [ "$first_life" = dead ]; then
    # Nobody is there to start an agent, and from now on nobody will be.
    claim expired && claimed=expired
  elif [ "$first_life" = alive ] && [ -e "$directory/minder/armed" ]; then
    secret_file="$directory/opt/etc/agent.json"
    if { printf '%s' "$agent_json" >"$secret_file.$$" && mv "$secret_file.$$" "$secret_file"; } 2>/dev/null; then
      claim go "$worker_json" && claimed=go
    else
      rm -f "$secret_file.$$"
      trouble="cannot write $secret_file"
    fi
  fi
}

# is_locked_elsewhere: a live lock names $directory, which is gone; $holder says which.
is_locked_elsewhere() {
  list_locks '*' "${cookie:-*}"
  while IFS= read -r lock_file && [ -n "$lock_file" ]; do
    read_lock "$lock_file"
    [ "$lock_directory_of" = "$directory" ] || continue
    judge_lock
    [ "$lock_life" = dead ] || {
      holder=$lock_instance
      return 0
    }
  done <<EOF
$lock_files
EOF
  return 1
}

# ---- look ----

# look LOCKS DIRECTORY...: "view STATE WENT PROCESS MINDER JOB EXIT REASON" for each, in order, then "log SIZE DIRECTORY".
look() {
  locks=$1
  shift
  know_host
  for directory; do look_at; done
  look_at_logs "$@"
}

look_at() {
  state='cannot-tell' reason='' exit_text=-
  read_instance "$directory"
  has_job=no has_end=no
  [ ! -e "$directory/opt/etc/job.json" ] || has_job=yes
  [ ! -e "$directory/opt/etc/job-done.json" ] || has_end=yes has_job=yes
  if read_line "$directory/minder/exit.json"; then
    record=$line
    if json_field code; then exit_text=code:$field; elif json_field signal; then exit_text=signal:$field; fi
  fi
  if [ -n "$cookie" ] && [ "$isolate" = off ] && [ "$first_life" = dead ]; then
    # Without a namespace the agent can outlive the first process.
    find_strays "$cookie" "$directory"
    if [ -n "$strays" ]; then first_life=alive; elif [ "$stray_proof" = no ]; then first_life=unknown; fi
  fi
  if [ -n "$cookie" ] && is_unstarted; then first_life=dead; fi

  if [ ! -d "$directory" ]; then
    if is_locked_elsewhere; then
      reason="the directory is gone, but a live process holds its testbed"
    elif [ -e "$directory" ]; then
      reason="it is not a directory"
    else
      state=absent first_life=dead minder_life=dead
    fi
  elif [ ! -d "$directory/minder" ]; then
    # Made by another factory program, or by one of ours that was killed at once.
    find_strays '' "$directory"
    if [ -n "$strays" ]; then state=alive went=yes first_life=alive
    elif [ "$stray_proof" = no ]; then reason='its processes cannot be searched for'
    else state=dead first_life=dead minder_life=dead; fi
  elif [ -z "$cookie" ] && [ "$went" = no ] && is_unstarted && ! is_locked_elsewhere; then
    # Killed before it could write who it is: nothing was started.
    state=absent first_life=dead minder_life=dead
  elif [ "$first_life" = unknown ]; then
    reason='its first process cannot be told from others'
  elif [ "$went" = no ]; then
    if [ "$first_life" = alive ]; then state=armed
    elif [ "$minder_life" = dead ] || [ "$claimed" = expired ]; then state=absent
    else reason='it is being armed'; fi
  elif [ "$has_end" = yes ]; then state=done
  elif [ "$exit_text" != - ]; then state=exited
  elif [ "$first_life" = dead ]; then state=dead
  elif [ -e "$directory/minder/started" ]; then state=alive
  else state=armed; fi
  answer "view $state $went $first_life $minder_life $has_job $exit_text $reason"
}

# look_at_logs DIRECTORY...: their sizes, by one ls for all; those over their cap are cut.
look_at_logs() {
  count=$#
  while [ "$count" -gt 0 ]; do
    count=$((count - 1)) directory=$1
    shift
    [ ! -f "$directory/agent.log" ] || set -- "$@" "$directory/agent.log"
  done
  [ "$#" -gt 0 ] || return 0
  while read -r mode links owner group size rest; do
    case $size in '' | *[!0-9]*) continue ;; esac
    log=/${rest#*/}
    answer "log $size ${log%/agent.log}"
    [ "$size" -lt 100000 ] || cut_log "$log" "$size"
  done <<EOF
$(ls -ldn "$@" 2>/dev/null)
EOF
}

# cut_log FILE SIZE: keeps the beginning and the end. The agent appends, so that what it writes meanwhile is not lost.
cut_log() {
  read_line "${1%/*}/minder/minder" || return 0
  cap=${line##* }
  case $cap in '' | *[!0-9]*) return 0 ;; esac
  [ "$2" -gt "$cap" ] || return 0
  part=$((cap / 4))
  kept="${1%/*}/minder/log.cut"
  {
    head -c "$part" "$1"
    printf '\n... %s bytes dropped ...\n' "$(($2 - part - part))"
    tail -c "$part" "$1"
  } >"$kept" 2>/dev/null && printf '' >"$1" && cat "$kept" >>"$1"
  rm -f "$kept"
}

# ---- stop ----

# stop DIRECTORY LOCKS GRACE_MS
stop() {
  directory=$1 locks=$2 grace=$3
  know_host
  # Its directory may be changing while it is read: only what stays so for a while is an answer.
  waited=0
  while :; do
    read_instance "$directory"
    if [ -d "$directory/minder" ] && [ -z "$claimed" ]; then
      # From now on it cannot go any more, if it has not gone.
      claim expired && claimed=expired
      [ "$claimed" != go ] || went=yes
    fi
    # A lock may know better: it outlives a removed directory.
    if is_unstarted; then first_life=dead; fi
    if [ ! -s "$directory/minder/minder" ] && [ "$first_life" = dead ]; then minder_life=dead; fi
    find_by_lock
    [ "$first_life" = unknown ] && [ "$waited" -lt 1000 ] || break
    pause
  done
  if [ "$first_life" = unknown ]; then
    answer 'cannot-tell its first process cannot be told from others'
    return
  fi
  is_whole_proof=no
  [ "$isolate" != auto ] || [ "$first_life" != alive ] || [ "$minder_life" != alive ] || is_whole_proof=yes
  end_first || return 0
  end_minder || return 0
  # A namespace ends with its first process; else, or where the minder was killed before, all that is ours is searched.
  if [ "$is_whole_proof" = no ] && ! { end_strays "$cookie" "$directory" && [ "$stray_proof" = yes ]; }; then
    answer "unkillable processes$strays do not end"
    return
  fi
  drop_dead_locks "$directory"
  if is_locked_elsewhere; then
    answer "cannot-tell its lock cannot be proved free"
    return
  fi
  if [ "$went" = no ]; then
    if [ -d "$directory/minder" ]; then rm -rf "$directory"; else rmdir "$directory" 2>/dev/null; fi
  fi
  answer stopped
}

# find_by_lock: what the instance's locks know of its processes and its directory does not.
find_by_lock() {
  list_locks '*' "${cookie:-*}"
  while IFS= read -r lock_file && [ -n "$lock_file" ]; do
    read_lock "$lock_file"
    [ "$lock_directory_of" = "$directory" ] || continue
    judge_lock
    [ -n "$cookie" ] || cookie=$lock_cookie
    [ "$lock_is_open" = no ] || isolate=off
    if [ "$lock_minder_life" = alive ] && [ "$minder_life" != alive ]; then
      minder_life=alive minder_boot=$lock_boot minder_space=$lock_space minder_pid=$lock_pid minder_start=$lock_start
    fi
    if [ "$lock_first_life" != dead ] && [ "$first_life" != alive ]; then
      first_life=$lock_first_life first_boot=$lock_boot first_space=$lock_space
      first_pid=$lock_first first_start=$lock_start_first
    fi
  done <<EOF
$lock_files
EOF
}

# end_first: TERM, the grace, KILL; each only to the process on record.
end_first() {
  [ "$first_life" = alive ] || return 0
  waited=0 is_told=no is_killed=no
  while :; do
    judge "$first_boot" "$first_space" "$first_pid" "$first_start" "$cookie"
    [ "$life" != dead ] || return 0
    if [ "$may_signal" = yes ] && [ "$is_told" = no ]; then
      kill -TERM "$first_pid" 2>/dev/null
      is_told=yes
    elif [ "$may_signal" = yes ] && [ "$waited" -ge "$grace" ] && [ "$is_killed" = no ]; then
      kill -KILL "$first_pid" 2>/dev/null
      is_killed=yes
    fi
    if [ "$waited" -ge $((grace + 5000)) ]; then
      answer "unkillable process $first_pid does not end"
      return 1
    fi
    pause
  done
}

# end_minder: it ends by itself when the first process has; one that is still building is killed.
end_minder() {
  waited=0
  while [ "$minder_life" = alive ]; do
    judge "$minder_boot" "$minder_space" "$minder_pid" "$minder_start" "$cookie"
    minder_life=$life
    [ "$life" = alive ] || break
    if [ "$may_signal" = yes ] && { [ "$waited" -ge 2000 ] || [ -z "$first_pid" ]; }; then
      kill -KILL "$minder_pid" 2>/dev/null
      is_whole_proof=no
    fi
    if [ "$waited" -ge 7000 ]; then
      answer "unkillable the minder, process $minder_pid, does not end"
      return 1
    fi
    pause
  done
  if [ "$minder_life" = unknown ]; then
    answer 'cannot-tell its minder cannot be told from other processes'
    return 1
  fi
}

# ---- What is left ----

# tail_log DIRECTORY BYTES: "log", then the bytes as they are.
tail_log() {
  if [ -f "$1/agent.log" ]; then
    answer log
    tail -c "$2" "$1/agent.log"
    answer ''
  else
    answer 'failed there is no agent.log'
  fi
}

# tidy DIRECTORY: what the job left, secrets and pipes go; the log and small records stay.
tidy() {
  directory=$1
  know_host
  if [ ! -d "$directory/minder" ]; then
    answer tidied
    return
  fi
  read_instance "$directory"
  if { [ "$first_life" != dead ] && ! is_unstarted; } || [ "$minder_life" = alive ]; then
    answer 'refused it is not proved dead'
    return
  fi
  if cd "$directory" && rm -rf home input work opt/bin opt/run opt/lib opt/etc/agent.json minder/root minder/gate \
    minder/events minder/mounts minder/command minder/armed minder/trouble; then
    answer tidied
  else
    answer "cannot-tell cannot remove all of $directory"
  fi
}

# print_locks LOCKS: "lock TESTBED COOKIE UID OWNER", "instance TEXT", "directory TEXT" for each.
print_locks() {
  locks=$1
  know_host
  list_locks '*' '*'
  while IFS= read -r lock_file && [ -n "$lock_file" ]; do
    read_lock "$lock_file"
    judge_lock
    [ -e "$lock_file" ] || continue
    answer "lock $lock_testbed $lock_cookie ${lock_uid:-none} $lock_life" "instance $lock_instance" \
      "directory $lock_directory_of"
  done <<EOF
$lock_files
EOF
}

# recall WORK: "directory TEXT", "intent JSON" and, once told to go, "worker JSON" for each instance directory.
recall() {
  set +f
  set -- "$1"/*/minder/intent.json
  set -f
  for intent_file; do
    read_line "$intent_file" || continue
    directory=${intent_file%/minder/intent.json}
    answer "directory $directory" "intent $line"
    {
      IFS= read -r claimed && IFS= read -r line && [ "$claimed" = go ] && answer "worker $line"
    } <"$directory/minder/claim" 2>/dev/null
  done
}

# ---- The verbs ----

verb=$1 nonce=$2
shift 2
case $verb in
mind | first)
  # Not called from outside: the cookie stands where verbs have their mark, first among the arguments.
  "$verb" "$nonce" "$@"
  exit
  ;;
esac
printf '%s begin\n' "$nonce"
case $verb in
arm | go | look | stop | tidy | recall) "$verb" "$@" ;;
tail) tail_log "$@" ;;
locks) print_locks "$@" ;;
esac
printf '%s end\n' "$nonce"
