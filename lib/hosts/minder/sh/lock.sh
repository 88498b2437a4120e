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

# judge_lock: sets $lock_life for the lock just read: dead only if both minder and agent are dead.
judge_lock() {
  judge "$lock_boot" "$lock_space" "$lock_pid" "$lock_start" "$lock_cookie"
  lock_life=$life lock_minder_life=$life lock_first_life=dead
  # Without these lines no agent was started, because they are written before its start.
  if [ -n "$lock_first" ]; then
    judge "$lock_boot" "$lock_space" "$lock_first" "$lock_start_first" "$lock_cookie"
    lock_first_life=$life
    [ "$lock_life" != dead ] || lock_life=$life
  fi
  if [ "$lock_life" = dead ] && [ "$lock_is_open" = yes ] && [ "$lock_boot" = "$boot" ]; then
    find_strays "$lock_cookie" "$lock_directory_of"
    [ -z "$strays" ] || lock_life=alive
    # We cannot read the environments of another user's processes.
    if [ -z "$strays" ] && { [ "$stray_proof" = no ] || [ "$lock_uid" != "$uid" ] && [ "$uid" != 0 ]; }; then
      lock_life=unknown
    fi
  fi
}

# each_lock NAME COOKIE DO: calls DO with $lock_file for each lock of a testbed and an instance ("*": of all). It does not use a
# here-document: some shells keep it in /tmp, and if that is full the loop does nothing.
each_lock() {
  each_do=$3
  set +f
  case $1 in
  '*') set -- "$locks"/*@$2@*@* "$locks"/.host@$2@*@* ;;
  *) set -- "$locks/$1"@$2@*@* ;;
  esac
  set -f
  for lock_file; do [ ! -f "$lock_file" ] || "$each_do"; done
}

# take_lock NAME: 0: we hold it; 1: $holder holds it. Each contender first announces itself and then looks at the others, so
# that of any two the later one sees the earlier. Among contenders the smallest name wins.
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
  [ "$isolate" != off ] || printf 'open\n' >>"$my_lock" || lose_lock || return 2
  waited=0
  while :; do
    must_wait=no holder='' is_seen=no
    each_lock "$1" '*' meet
    if [ "$is_seen" = no ]; then
      rm -f "$my_lock"
      holder="cannot read the locks in $locks"
      return 2
    fi
    if [ -n "$holder" ] || [ "$waited" -gt 3000 ]; then
      rm -f "$my_lock"
      holder=${holder:-another factory that is arming}
      return 1
    fi
    [ "$must_wait" = yes ] || break
    pause
  done
  printf 'held\n' >>"$my_lock" || lose_lock || return 2
}

# lose_lock: removes a lock that cannot be written. Always false.
lose_lock() {
  rm -f "$my_lock"
  holder="cannot write in $locks"
  return 1
}

# meet: judges one other contender or holder.
meet() {
  if [ "$lock_file" = "$my_lock" ]; then
    is_seen=yes
    return
  fi
  read_lock "$lock_file"
  judge_lock
  if [ "$lock_life" = dead ]; then
    # A lock's name is never used again, so this cannot remove another lock. A sticky directory protects other users' locks.
    rm -f "$lock_file" 2>/dev/null
  elif [ "$lock_is_held" = yes ] || [ "$lock_life" = unknown ] || is_before "$lock_file" "$my_lock"; then
    holder="${lock_instance:-an unnamed instance} in ${lock_directory_of:-an unknown directory} (user $lock_uid)"
  else
    must_wait=yes
  fi
}

# is_before A B: compares in byte order: expr uses the locale, which is C here.
is_before() {
  expr "x$1" \< "x$2" >/dev/null
}

# drop_dead_locks DIRECTORY: removes the locks of an instance whose owners are proved dead, or unknown and vouched for.
drop_dead_locks() {
  dropped=$1
  each_lock '*' "${cookie:-*}" drop_if_dead
}

drop_if_dead() {
  read_lock "$lock_file"
  # If its minder was killed before it wrote the directory, the name still has the cookie.
  [ "$lock_directory_of" = "$dropped" ] || [ "$lock_cookie" = "${cookie:-none}" ] || return 0
  judge_lock
  [ "$lock_life" != unknown ] || [ "${word:-}" != vouched ] || lock_life=dead
  [ "$lock_life" != dead ] || rm -f "$lock_file" 2>/dev/null
}

# is_locked_elsewhere: whether a live lock names $directory, which is gone; sets $holder.
is_locked_elsewhere() {
  is_locked=no
  each_lock '*' "${cookie:-*}" note_if_live
  [ "$is_locked" = yes ]
}

note_if_live() {
  read_lock "$lock_file"
  [ "$lock_directory_of" = "$directory" ] || return 0
  judge_lock
  [ "$lock_life" = dead ] || is_locked=yes holder=$lock_instance
}
