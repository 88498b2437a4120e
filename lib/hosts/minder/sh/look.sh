# look: reports the state of many instances cheaply, from a few small files each.

# look LOCKS DIRECTORY...: prints "view STATE WENT PROCESS MINDER JOB EXIT OUTPUT REASON" for each, in order, then "log SIZE DIRECTORY".
# After the view of a directory with the word `named` before it follows "job NAME", if it has one; that costs processes.
look() {
  locks=$1 is_named=no words_left=$#
  shift
  know_host
  while [ "$words_left" -gt 1 ]; do
    words_left=$((words_left - 1)) directory=$1
    shift
    if [ "$directory" = named ]; then
      is_named=yes
      continue
    fi
    set -- "$@" "$directory"
    look_at
    [ "$is_named$has_job" != yesyes ] || tell_name "$directory"
    is_named=no
  done
  look_at_logs "$@"
}

look_at() {
  state='cannot-tell' reason='' exit_text=- output=-
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
      reason="the directory is gone, but a running process holds its testbed"
    elif [ -e "$directory" ]; then
      reason="it is not a directory"
    else
      state=absent first_life=dead minder_life=dead
    fi
  elif [ ! -d "$directory/minder" ]; then
    # Its minder was killed at once, or somebody removed the records.
    find_strays '' "$directory"
    if [ -n "$strays" ]; then state=alive went=yes first_life=alive
    elif [ "$stray_proof" = no ]; then reason='its processes cannot be searched for'
    else state=dead first_life=dead minder_life=dead; fi
  elif [ -z "$cookie" ] && [ "$went" = no ] && is_unstarted && ! is_locked_elsewhere; then
    # Its minder was killed before it could write its identity: nothing was started.
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
  elif [ -e "$directory/minder/started" ]; then
    state=alive
    read_printed || [ ! -e "$directory/minder/watched" ] || read_written
  else state=armed; fi
  answer "view $state $went $first_life $minder_life $has_job $exit_text $output $reason"
}

# Both set $output to a number that changes when the job prints, to `own` while nothing of the job runs, and to - if that is
# not known. No program is started for it.

# read_printed: what the built-in agent says; false if it is another agent.
read_printed() {
  read_line "$directory/opt/run/printed" || return 1
  case $line in own | *[0-9]) output=${line##*[!a-z0-9]} ;; esac
}

# read_written: for another agent, the bytes that its child processes have written to any file. The kernel adds the bytes of
# ended children to their parent.
read_written() {
  [ -n "$first_pid" ] && [ "$first_life" = alive ] && list_children "$first_pid" || return 0
  agents=$children below='' found='' total=0 count=0
  for process in $agents; do
    list_children "$process" || return 0
    below="$below $children"
  done
  # A job may have thousands of processes: only look at the first ones.
  while [ -n "${below# }" ] && [ "$count" -lt 500 ]; do
    found=
    for process in $below; do
      count=$((count + 1)) line=
      { { read -r line && read -r line; } <"$proc/$process/io"; } 2>/dev/null
      case $line in
      'wchar: '*) total=$((total + ${line#wchar: })) ;;
      # The process belongs to another user, or the kernel does not count.
      *) [ ! -e "$proc/$process" ] || return 0 ;;
      esac
      list_children "$process" || return 0
      found="$found $children"
    done
    below=$found
  done
  output=own
  [ "$count" = 0 ] || output=$total
}

# list_children PID: sets $children; false if the kernel does not show them. Each thread has its own children.
list_children() {
  set +f
  set -- "$proc/$1/task"/*/children
  set -f
  children=
  for threads_file; do
    [ -e "$threads_file" ] || [ ! -e "${threads_file%/children}" ] || return 1
    if read_line "$threads_file"; then children="$children $line"; fi
  done
  children=${children# }
}

# look_at_logs DIRECTORY...: prints the sizes of their logs, with one ls for all, and cuts those over their cap.
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

# cut_log FILE SIZE: keeps the beginning and the end. The agent appends, so lines that it writes meanwhile are not lost.
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
