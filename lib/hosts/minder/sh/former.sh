# Agents that the Rust factory started. It left no record of them, so they are found by their HOME (the instance's
# directory) and BUILDOMAT_OPT (opt/buildomat in it). Their jobs' processes have only HOME.

# find_former DIRECTORY: sets $strays and $stray_proof, and $reason if $stray_proof is "no".
find_former() {
  find_strays '' "$1"
  if [ ! -r "$proc/self/environ" ]; then stray_proof=no; fi
  reason='its processes cannot be searched for on this host'
  if [ "$stray_proof" = yes ] && [ "$uid" != 0 ] && is_agent_hidden; then
    stray_proof=no
    reason="process $seen_pid is an agent of another user, and only root can see which instance it belongs to"
  fi
}

# is_agent_hidden: another user's agent runs here as $seen_pid (the Rust factory elevates agents). We cannot see which instance it
# belongs to, because we cannot read its environment.
is_agent_hidden() {
  set +f
  set -- $(grep -alF agent "$proc"/[0-9]*/cmdline 2>/dev/null)
  set -f
  for agent_file; do
    [ ! -r "${agent_file%/cmdline}/environ" ] || continue
    case $(tr '\000' ' ' <"$agent_file" 2>/dev/null) in *'agent run '*) ;; *) continue ;; esac
    agent_pid=${agent_file#"$proc/"}
    read_process "${agent_pid%/cmdline}"
    # An agent that a minder started is in that minder's records.
    has_cookie "$seen_parent" /.minder- || return 0
  done
  return 1
}

# is_former_agent PID DIRECTORY: whether it is an agent or its wrapper, and not a process that a job left.
is_former_agent() {
  tr '\000' '\n' <"$proc/$1/environ" 2>/dev/null | grep -qF -e "BUILDOMAT_OPT=$2/"
}

# look_former DIRECTORY...: prints a view for each, like look.
look_former() {
  know_host
  for directory; do
    find_former "$directory"
    state=dead life=dead has_job=no
    [ ! -e "$directory/opt/buildomat/etc/job.json" ] || has_job=yes
    if [ -n "$strays" ]; then
      # Without its agent a job cannot end, even if some of its processes still run.
      life=alive state=exited
      [ "$stray_proof" = yes ] || state=alive
      for stray in $strays; do
        if is_former_agent "$stray" "$directory"; then state=alive; fi
      done
    elif [ "$stray_proof" = no ]; then
      state='cannot-tell' life=unknown
    fi
    if [ "$state" != 'cannot-tell' ]; then
      reason=
      # The agent's start removed the file, so this one is from the instance's own job.
      [ ! -e "$directory/opt/buildomat/etc/job-done.json" ] || state='done' has_job=yes
    fi
    answer "view $state yes $life dead $has_job - - $reason"
  done
}

# stop_former DIRECTORY: ends all processes that it finds. An agent dies of any signal and leaves its job's processes.
stop_former() {
  know_host
  if ! end_strays '' "$1"; then
    answer "unkillable processes$strays do not end"
    return
  fi
  find_former "$1"
  if [ "$stray_proof" = yes ]; then answer stopped; else answer "cannot-tell $reason"; fi
}

# find_former_places NAME...: prints "directory TEXT" for each directory with one of these names that has a running agent.
find_former_places() {
  know_host
  for name; do
    set +f
    place_files=$(printf '/%s/opt/buildomat\n' "$name" | grep -alF -f - "$proc"/[0-9]*/environ 2>/dev/null)
    set -f
    for place_file in $place_files; do
      tr '\000' '\n' <"$place_file" 2>/dev/null | while IFS= read -r line; do
        case $line in
        BUILDOMAT_OPT=/*"/$name/opt/buildomat")
          line=${line#BUILDOMAT_OPT=}
          answer "directory ${line%/opt/buildomat}"
          ;;
        esac
      done
    done
  done
}
