# The armed minder: it starts the first process, reminds it of the expiry, and waits for its end.

# start_first LINE...: the instance's first process, in namespaces of its own if it is isolated. True when these are proved
# built; else $trouble says why not, and nothing of it is left.
start_first() {
  # Both ends of each are opened before first starts, so that no open waits for somebody who may be dead.
  exec 4<>"$directory/minder/gate" 3<"$directory/minder/gate"
  exec 6<>"$directory/minder/events" 5<"$directory/minder/events"
  # Passed in a file, because everybody can read arguments, and `look` reads them all.
  printf '%s\n' "$boot" "$pid_space" "$uid" "$isolate" "$elevated" "$about" "$@" >"$directory/minder/command" ||
    give_up "failed cannot write in $directory"
  choose_wrapper
  # 3 and 6 by name: ksh keeps what exec opened from other programs.
  { cd / && exec $wrapper "$shell" "$0" first "$cookie" "$directory" 3<&3 6>&6; } 4>&- 5<&- 7>&- \
    2>"$directory/minder/trouble" &
  exec 3<&- 6>&-
  IFS= read -r event <&5
  case $event in
  ready\ *)
    # If we die, this line identifies the process to check.
    printf 'first %s\n' "${event#ready }" >>"$my_lock" &&
      { [ -z "$my_host_lock" ] || printf 'first %s\n' "${event#ready }" >>"$my_host_lock"; } &&
      printf '' >"$directory/minder/armed" && return 0
    event="failed cannot write in $locks or $directory"
    ;;
  esac
  read_line "$directory/minder/trouble"
  trouble="${event#failed }"
  trouble=${trouble:-${line:-unshare failed}}
  exec 4>&-
  wait
  exec 5<&-
  return 1
}

# attend: armed. Waits until the first process and all others have ended, then releases the testbed.
attend() {
  report "armed${refusal:+ $refusal}"
  know_nap_end
  remind &
  timer=$!
  while IFS= read -r event <&5; do
    case $event in
    time) timer= && printf 'time\n' >&4 ;;
    # The reminder is not needed any more.
    went) end_reminder ;;
    esac
  done
  end_reminder
  wait
  if [ "$isolate" = off ]; then
    find_strays "$cookie" "$directory"
    # This shell and its children have the cookie, too.
    for stray in $strays; do
      read_process "$stray"
      [ "$stray" = "$$" ] || [ "$seen" = dead ] || exit 0
    done
  fi
  if claim expired || [ "$claimed" = expired ]; then
    if [ "$is_again" = yes ]; then rm -rf "$directory/minder"; else drop_unused; fi
  fi
  [ -z "$my_host_lock" ] || rm -f "$my_host_lock"
  rm -f "$my_lock"
  # Whoever watches this directory learns that all of it ended, also where nothing else was written.
  [ ! -d "$directory/minder" ] || printf '' >"$directory/minder/ended"
}

# drop_unused: removes everything except the record that the agent was never started.
drop_unused() {
  cd "$directory" && rm -rf home opt input work tmp agent.log minder/root minder/cover minder/gate minder/events minder/intent.json \
      minder/armed minder/trouble minder/command minder/watched minder/mounts minder/identity.json minder/refusal
  cd /
}

end_reminder() {
  [ -z "$timer" ] || kill -s "$nap_end" "$timer" 2>/dev/null
  timer=
}

# remind: tells first when the expiry has passed; first then contends for the claim.
remind() {
  exec 4>&- 5<&-
  nap "$expiry"
  [ ! -p "$directory/minder/events" ] || printf 'time\n' 1<>"$directory/minder/events"
}
