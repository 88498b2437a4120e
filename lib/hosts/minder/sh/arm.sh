# arm: starts the minder, which takes the lock and makes the directory, or joins a minder that already has them.

# arm SHELL DIRECTORY LOCKS: the specification is on stdin, its first line the cookie.
arm() {
  exec 3<&0
  IFS= read -r cookie <&3
  # Its report is one line. Not read by a command substitution: ksh93 ends it too early, or never.
  # Drops the login's environment, which would reach the agent, except PATH and LC_ALL.
  launch env -i PATH="$PATH" LC_ALL=C "$1" "$0" mind "$cookie" "$1" "$2" "$3" | {
    IFS= read -r line
    answer "$line"
  }
}

# launch: starts the minder in its own session, or at least process group, so that signals for the factory do not reach it. It
# keeps this pipe open until it has reported.
launch() {
  if command -v setsid >/dev/null; then
    setsid "$@" <&3 2>/dev/null 3<&- &
  else
    set -m
    nohup "$@" <&3 2>/dev/null 3<&- &
  fi
}

# report LINE: sends it to `arm`, which waits for the end of this pipe.
report() {
  printf '%s\n' "$1" >&7
  exec 7>&-
}

# give_up LINE: reports it and removes everything.
give_up() {
  # Relative names: another minder may have taken this one for dead and made a new directory with the same path.
  if [ "$is_inside" = yes ]; then
    if [ "$is_again" = yes ]; then rm -rf minder; else rm -rf minder home opt input work tmp agent.log; fi
  fi
  cd /
  rmdir "$directory" 2>/dev/null
  [ -z "${my_host_lock:-}" ] || rm -f "$my_host_lock"
  [ -z "${my_lock:-}" ] || rm -f "$my_lock"
  report "$1"
  exit 0
}

# mind COOKIE SHELL DIRECTORY LOCKS: the minder itself.
mind() {
  # A report that nobody reads must not end us. Caught, not ignored, because the agent would inherit ignored signals.
  trap : PIPE
  exec 7>&1 >/dev/null
  cd /
  cookie=$1 shell=$2 directory=$3 locks=$4
  # If this shell is killed, its children can be found by this.
  export BUILDOMAT_FACTORY_COOKIE="$cookie"
  instance='' testbed='' isolate=auto uses_host=yes expiry=120 log_cap=100000000 testbed_json='{}' intent_json='{}'
  about='' agent='' is_whole=no elevated=no owner='' refusal='' is_again=no is_watched=no external=
  know_host
  read_process self
  my_pid=$$ my_start=$seen_start
  # The arguments become the lines that `first` reads.
  shift "$#"
  while IFS= read -r line; do
    value=${line#* }
    case ${line%% *} in
    instance) instance=$value ;;
    about) about=$value ;;
    testbed) testbed=$value ;;
    isolate) isolate=$value ;;
    uses-host) uses_host=$value ;;
    again) is_again=$value ;;
    watched) is_watched=$value ;;
    external) external=$value ;;
    elevated) elevated=$value ;;
    owner) owner=$value ;;
    expiry) expiry=$value ;;
    log-cap) log_cap=$value ;;
    testbed-json) testbed_json=$value ;;
    intent-json) intent_json=$value ;;
    bmat | environment | cover | hide | keep | open-files) set -- "$@" "$line" ;;
    agent)
      [ -n "$agent" ] || agent=$value
      set -- "$@" "$line"
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
  if ! are_places_safe "$work" "$locks" "$owner" || ! is_elevated_enough; then
    report "failed $reason"
    exit 0
  fi
  if [ "$is_again" = yes ]; then reopen; else until mkdir "$directory" 2>/dev/null; do join_or_clear; done; fi
  is_inside=no
  cd "$directory" && is_inside=yes || give_up "failed $directory was removed"
  # Every user in a job may use its /work and /input; the instance directory around them is private.
  my_lock='' my_host_lock=''
  mkdir -p minder/root minder/cover tmp home opt/etc opt/bin opt/run && mkdir -p -m 755 input work && record_minder ||
    give_up "failed cannot write in $directory: its file system may be full or read-only"
  [ "$is_watched" = no ] || printf '' >minder/watched
  take_lock "$testbed"
  case $? in
  1) my_lock='' && give_up "elsewhere $holder" ;;
  2) my_lock='' && give_up "failed $holder" ;;
  esac
  build
  # The factory's user may read it, even if the job runs as another user.
  [ -z "$owner" ] || chown "$owner" . minder opt opt/etc agent.log || give_up "failed cannot give $directory to user $owner"
  if [ "$isolate" != off ]; then
    has_namespaces && start_first "$@" || use_host
  fi
  if [ "$isolate" = off ]; then
    [ "$uses_host" = no ] || take_host
    start_first "$@" || give_up "failed cannot start the agent's first process: $trouble"
  fi
  cd /
  attend
}

# record_minder: writes the minder's identity and the kind of isolation.
record_minder() {
  printf '%s\n' "$boot $pid_space $my_pid $my_start $cookie $isolate $log_cap" >minder/minder.new &&
    mv minder/minder.new minder/minder
}

# use_host: namespaces are refused for the reason in $trouble, and the first process is gone. From now on the instance runs as
# with general.isolate = "off".
use_host() {
  isolate=off refusal=$trouble
  rm -f minder/identity.json && printf '%s\n' "$refusal" >minder/refusal && record_minder &&
    printf 'open\n' >>"$my_lock" || give_up "failed cannot write in $directory"
  is_agent_fit "$agent" || give_up "failed cannot isolate an instance: $refusal; $reason"
}

# take_host: without isolation an instance uses the host's own /work and /input, so it must be alone on the host.
take_host() {
  is_host_usable || give_up "failed ${refusal:+cannot isolate an instance: $refusal; allow that, or: }$reason"
  testbed_lock=$my_lock
  take_lock .host
  host_result=$? my_host_lock=$my_lock my_lock=$testbed_lock
  case $host_result in
  1) my_host_lock='' && give_up "host-elsewhere $holder, without isolation: a host runs only one such instance at a time" ;;
  2) my_host_lock='' && give_up "failed $holder" ;;
  esac
}

# join_or_clear: the directory exists. Returns when another attempt to make it is worthwhile.
join_or_clear() {
  waited=0
  if [ -L "$directory" ] || { [ -e "$directory" ] && [ ! -d "$directory" ]; }; then
    report "failed $directory is in the way; remove it"
    exit 0
  fi
  if [ ! -e "$directory" ]; then
    report "failed cannot make $directory: its file system may be full or read-only"
    exit 0
  fi
  wanted=$cookie
  while [ -d "$directory" ]; do
    read_instance "$directory"
    settle_unstarted
    if [ -n "$cookie" ] && [ "$cookie" != "$wanted" ]; then
      report "taken $directory belongs to another instance; an instance directory is never used twice"
      exit 0
    fi
    if [ "$went" = yes ] || { [ -z "$claimed" ] && [ -e "$directory/minder/armed" ] &&
      [ "$first_life" = alive ] && [ "$minder_life" = alive ]; }; then
      read_line "$directory/minder/refusal"
      report "armed${line:+ $line}"
      exit 0
    fi
    # Its maker was killed before it could write anything. rmdir removes only an empty directory.
    if [ "$waited" -gt 1000 ] && [ ! -e "$directory/minder" ] && ! rmdir "$directory" 2>/dev/null; then
      report "taken $directory already exists; an instance directory is never used twice"
      exit 0
    fi
    # Nobody is alive and no agent was started: one of us may build it again, if no go can come in between. If there is no
    # minder's record, the directory's maker is about to write it, or was killed before.
    if may_clear && { mkdir "$directory/minder/clearing" 2>/dev/null || [ "$waited" -gt 2000 ]; }; then
      # It may be another instance since it was read.
      read_instance "$directory"
      settle_unstarted
      if may_clear && { claim expired || [ "$claimed" = expired ]; }; then
        end_strays "$wanted" "$directory"
        rm -rf "$directory"
      else
        rmdir "$directory/minder/clearing" 2>/dev/null
      fi
    fi
    if [ "$waited" -gt 20000 ]; then
      report "failed $directory already exists, and its owner is not known; an instance directory is never used twice"
      exit 0
    fi
    [ ! -d "$directory" ] || pause
  done
  cookie=$wanted
}

# reopen: prepares the directory of an instance whose agent is proved gone, but whose job is not over. The agent's files of the
# job stay; the minder's own files are made again, by the minder that succeeds in making the new directory for them.
reopen() {
  wanted=$cookie trouble=
  read_instance "$directory"
  settle_unstarted
  if [ -e "$directory/minder/armed" ] && [ -z "$claimed" ] && [ "$first_life" = alive ] && [ "$minder_life" = alive ]; then
    report armed
    exit 0
  fi
  if [ ! -d "$directory" ]; then
    report "taken $directory is not there"
    exit 0
  elif [ -n "$cookie" ] && [ "$cookie" != "$wanted" ]; then
    report "taken $directory belongs to another instance"
    exit 0
  elif [ -e "$directory/opt/etc/job-done.json" ]; then
    trouble='its job is done'
  elif [ -n "$cookie" ] && { [ "$minder_life" != dead ] || [ "$first_life" != dead ]; } && ! { [ "$minder_life" = dead ] && is_unstarted; }; then
    trouble='it is not proved dead'
  elif ! end_strays "$wanted" "$directory" || [ "$stray_proof" = no ]; then
    trouble='what it left running does not end'
  elif [ -d "$directory/minder" ] && ! mv "$directory/minder" "$directory/minder.past.$$"; then
    trouble="$directory cannot be changed"
  elif ! mkdir "$directory/minder"; then
    trouble='it is being started again already'
  elif ! printf '' >"$directory/minder/again"; then
    trouble="cannot write in $directory"
  fi
  if [ -n "$trouble" ]; then
    report "failed $trouble"
    exit 0
  fi
  set +f
  rm -rf "$directory"/minder.past.*
  set -f
  cookie=$wanted first_life=unknown minder_life=unknown
}

may_clear() {
  { [ "$minder_life" = dead ] || { [ -z "$cookie" ] && [ "$waited" -gt 1000 ] && [ -d "$directory/minder" ]; }; } &&
    { [ "$first_life" = dead ] || is_unstarted; }
}
