# look: what is true of many instances, at the price of reading a few small files each.

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
  settle_unstarted
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
    # Made by one that was killed at once, or somebody removed what it recorded.
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
  ls -ldn "$@" 2>/dev/null | while read -r mode links owner group size rest; do
    case $size in '' | *[!0-9]*) continue ;; esac
    log=/${rest#*/}
    answer "log $size ${log%/agent.log}"
    [ "$size" -lt 100000 ] || cut_log "$log" "$size"
  done
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
