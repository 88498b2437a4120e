# Finds out whether instances can have their own namespaces here, and how.

# has_namespaces: if not, $trouble says what is missing.
has_namespaces() {
  trouble=
  [ -e "$proc/self/ns/pid" ] || trouble='this system has no namespaces'
  command -v unshare >/dev/null || trouble="${trouble:-there is no unshare program; install util-linux}"
  [ -z "$trouble" ]
}

# choose_wrapper: sets $wrapper to the words before a first process that give it namespaces, or at least a session.
choose_wrapper() {
  wrapper=
  if [ "$isolate" != off ]; then
    wrapper='unshare --pid --fork --kill-child --mount'
    [ "$uid" = 0 ] || wrapper='unshare --user --map-current-user --keep-caps --pid --fork --kill-child --mount'
  elif command -v setsid >/dev/null; then
    wrapper=setsid
  fi
}

# probe SHELL WORK LOCKS ELEVATED OWNER ISOLATE EXTERNAL AGENT...: prints what this host offers an instance, in lines of a word
# and a text, with one line for each agent in order. EXTERNAL is the agent that is not built in. No instance is left.
probe() {
  probe_shell=$1 work=$2 locks=$3 elevated=$4 owner=$5 wanted=$6 external=$7 isolate=auto directory=
  shift 7
  know_host
  answer "user $uid"
  is_host_usable || answer "unshared $reason"
  # A failure in the work directory proves nothing about isolation.
  isolation='refused it was not tried'
  if ! are_places_safe "$work" "$locks" "$owner" || ! is_elevated_enough || ! make_probe; then
    answer "unusable $reason"
  elif has_namespaces && try_namespaces "$probe_shell"; then
    isolation=possible
  else
    isolation="refused $trouble" wanted=off
  fi
  isolate=$wanted
  [ -z "$directory" ] || rm -rf "$directory"
  answer "isolation $isolation"
  read_free_space "$work"
  [ -z "$free_kb" ] || answer "free-kb $free_kb"
  for agent; do
    if is_agent_runnable "$agent" && is_agent_fit "$agent"; then answer runnable; else answer "not-runnable $reason"; fi
  done
}

# make_probe: makes an instance directory for trials; if that fails, $reason says why.
make_probe() {
  directory=$work/.probe-$$
  mkdir "$directory" "$directory/minder" "$directory/minder/root" "$directory/minder/cover" "$directory/work" \
    "$directory/input" "$directory/tmp" "$directory/opt" 2>/dev/null && return
  reason="cannot write in $work: its file system may be full or read-only"
  return 1
}

# try_namespaces SHELL: builds an instance's namespaces in $directory; if that fails, $trouble says why.
try_namespaces() {
  choose_wrapper
  trouble=$($wrapper "$1" "$0" try "$uid" "$directory" "$elevated" 2>&1)
  trouble=${trouble%%"$newline"*}
  [ "$trouble" != possible ] || return 0
  trouble=${trouble#failed }
  trouble=${trouble:-unshare failed}
  return 1
}

# try UID DIRECTORY ELEVATED: runs inside the namespaces, like `first`.
try() {
  uid=$1 directory=$2 elevated=$3 isolate=auto shows_host=no bmat_count=0 covers='' hides='' keeps=
  show_inside "$directory"
  isolate_mounts 6>&1 && printf 'possible\n'
}
