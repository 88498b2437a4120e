# stop: ends everything of an instance, and proves it gone.

# stop DIRECTORY LOCKS GRACE_MS COOKIE [vouched]: with "vouched", an operator vouches that nothing is left running. That decides
# what is unknown; processes that are seen alive are ended anyway.
stop() {
  directory=$1 locks=$2 grace=$3 word=${5:-}
  know_host
  if is_others "${4:-}"; then
    # The one that is meant never was here.
    answer stopped
    return
  fi
  # The directory may change while it is read: only a state that lasts for a while is an answer.
  waited=0
  while :; do
    read_instance "$directory"
    settle_unstarted
    if [ -d "$directory/minder" ] && [ -z "$claimed" ]; then
      # From now on its agent cannot be started, unless it was started before.
      claim expired && claimed=expired
      [ "$claimed" != go ] || went=yes
    fi
    # A lock may know more, because it outlives a removed directory.
    if is_unstarted; then first_life=dead; fi
    if [ ! -s "$directory/minder/minder" ] && [ "$first_life" = dead ]; then minder_life=dead; fi
    find_by_lock
    [ "$first_life" = unknown ] && [ "$waited" -lt 1000 ] || break
    pause
  done
  if [ "$word" = vouched ]; then
    # It outlives this call, so that `tidy` and `remove` believe it too.
    [ ! -d "$directory/minder" ] || printf '' >"$directory/minder/vouched"
    [ "$first_life" != unknown ] || first_life=dead
    [ "$minder_life" != unknown ] || minder_life=dead
  fi
  if [ "$first_life" = unknown ]; then
    answer 'cannot-tell its first process cannot be told from others'
    return
  fi
  is_whole_proof=no
  [ "$isolate" != auto ] || [ "$first_life" != alive ] || [ "$minder_life" != alive ] || is_whole_proof=yes
  end_first || return 0
  end_minder || return 0
  # A minder releases its lock last. If it was killed meanwhile, its lock and its reminder are left.
  [ "$is_whole_proof" = no ] || each_lock '*' "$cookie" doubt_proof
  # A namespace ends with its first process; else, or where the minder was killed before, all that is ours is searched.
  if [ "$is_whole_proof" = no ]; then
    if ! end_strays "$cookie" "$directory"; then
      answer "unkillable processes$strays do not end"
      return
    elif [ "$stray_proof" = no ] && [ "$word" != vouched ]; then
      answer 'cannot-tell its processes cannot be searched for'
      return
    fi
  fi
  drop_dead_locks "$directory"
  if is_locked_elsewhere; then
    answer "cannot-tell its lock cannot be proved free"
    return
  fi
  if [ "$went" = no ]; then
    if went_before; then
      # The agent's files stay.
      rm -rf "$directory/minder"
    elif [ -d "$directory/minder" ]; then
      rm -rf "$directory"
    else
      rmdir "$directory" 2>/dev/null
    fi
  fi
  answer stopped
}

# went_before: it is one that `reopen` makes ready to go again.
went_before() {
  [ ! -e "$directory/minder/again" ] || return 0
  set +f
  set -- "$directory"/minder.past.*
  set -f
  [ -e "$1" ]
}

doubt_proof() { is_whole_proof=no; }

# find_by_lock: reads from the instance's locks which processes it has, if its directory does not say so.
find_by_lock() { each_lock '*' "${cookie:-*}" learn_from_lock; }

learn_from_lock() {
  read_lock "$lock_file"
  [ "$lock_directory_of" = "$directory" ] || return 0
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
}

# end_first: sends TERM, waits for the grace, sends KILL; only to the recorded process.
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

# end_minder: waits for the minder, which ends after the first process; kills one that is still building.
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

# quiet DIRECTORY LOCKS GRACE_MS COOKIE: ends only the agent; the processes that hold the testbed stay.
quiet() {
  directory=$1 locks=$2 grace=$3
  know_host
  if is_others "${4:-}"; then
    answer quiet
    return
  fi
  waited=0 is_told=no is_killed=no
  while :; do
    read_instance "$directory"
    # Without a go signal there is no agent, and none can start now.
    if [ "$went" = no ] || [ -s "$directory/minder/exit.json" ] || [ "$first_life" = dead ]; then
      answer quiet
      return
    fi
    judge "$first_boot" "$first_space" "$first_pid" "$first_start" "$cookie"
    if [ "$life" = unknown ]; then
      answer 'cannot-tell its first process cannot be told from others'
      return
    elif [ "$may_signal" = yes ] && [ "$is_told" = no ]; then
      kill -USR1 "$first_pid" 2>/dev/null
      is_told=yes
    elif [ "$may_signal" = yes ] && [ "$waited" -ge "$grace" ] && [ "$is_killed" = no ]; then
      kill -USR2 "$first_pid" 2>/dev/null
      is_killed=yes
    fi
    if [ "$waited" -ge $((grace + 5000)) ]; then
      answer 'unkillable its agent does not end'
      return
    fi
    pause
  done
}
