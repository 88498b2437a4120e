# The first process of an instance: it waits at the gate, runs the agent once and reaps. All others end with it.

# first COOKIE DIRECTORY: stdin null, 3 the gate, 6 the events, stderr a file.
first() {
  cookie=$1 directory=$2 is_stopping=no
  # The arguments become the agent's environment, a mark, wrappers if needed, and the agent's command.
  shift 2
  shows_host=no has_agent=no bmat_text='' bmat_count=0 bmat_path='' covers='' hides='' keeps='' open_files=
  {
    IFS= read -r boot && IFS= read -r pid_space && IFS= read -r uid && IFS= read -r isolate && IFS= read -r elevated &&
      IFS= read -r about || exit 1
    # The built-in agent also listens there, for tasks of users who cannot enter the instance directory.
    [ "$elevated" != yes ] || [ "$isolate" = off ] || set -- BUILDOMAT_OWN_RUN=yes
    while IFS= read -r line; do
      value=${line#* }
      case ${line%% *} in
      cover) covers="$covers$value$newline" ;;
      hide) hides="$hides$value$newline" ;;
      keep) keeps="$keeps$value$newline" ;;
      open-files) open_files=$value ;;
      esac
      case $line in
      'bmat /'* | 'agent /'*)
        # A script may need files beside it whose names begin with its own.
        set +f
        for kept in "$value"*; do keeps="$keeps$kept$newline"; done
        set -f
        ;;
      esac
      case ${line%% *} in
      bmat)
        show_inside "$value"
        quote "$inside"
        bmat_count=$((bmat_count + 1)) bmat_path=$value bmat_text="$bmat_text $quoted"
        ;;
      environment)
        keep_certificates
        show_inside "${value#*=}"
        set -- "$@" "${value%%=*}=$inside"
        ;;
      agent)
        if [ "$has_agent" = no ]; then
          set -- "$@" --
          # Absolute paths, because the agent's PATH may differ.
          if [ "$isolate" = off ]; then program=$(command -v setsid) && set -- "$@" "$program"; fi
          # The agent and its jobs would inherit signals that this shell or its parents ignore.
          if env --default-signal true 2>/dev/null; then
            program=$(command -v env)
            # Also remove variables that shells add.
            set -- "$@" "$program" --default-signal -u SHLVL -u _ --
            # env would read such a path as a variable.
            case $value in *=*) program=$(command -v nice) && set -- "$@" "$program" -n 0 ;; esac
          fi
          # Building the namespaces gave capabilities in them; jobs must not have these.
          if [ "$isolate" != off ] && [ "$uid" != 0 ] && program=$(command -v setpriv); then
            set -- "$@" "$program" --inh-caps=-all --ambient-caps=-all
          fi
        fi
        show_inside "$value"
        set -- "$@" "$inside"
        has_agent=yes
        ;;
      esac
    done
  } <"$directory/minder/command"
  # A variable may hold a secret, for example the address of a proxy.
  printf '' >"$directory/minder/command"
  [ "$has_agent" = yes ] || exit 1
  trap 'is_stopping=yes' TERM
  trap : PIPE USR1 USR2
  # /proc is still the outer one: it shows this process with the pid that others see.
  read_process self
  printf '{"boot_id":"%s","pid_space":"%s","pid":%s,"start_time":"%s","pgid":%s,"cookie":"%s"%s}\n' "$boot" "$pid_space" \
    "$seen_pid" "$seen_start" "$seen_group" "$cookie" "${about:+,$about}" >"$directory/minder/identity.json" ||
    exit 1
  ready="ready $seen_pid $seen_start"
  # Before a go signal can come, and while the rest is built.
  # Relative names, because the mounts may move absolute ones.
  { cd "$directory" && chmod 1777 tmp && make_last minder/identity.json minder/minder minder/intent.json minder .; } &
  lasting=$!
  place_bmat || exit 1
  if [ "$isolate" = off ]; then mark_processes; else isolate_mounts || exit 1; fi
  show_inside "$directory"
  directory=$inside
  cd /
  wait "$lasting" || exit 1
  printf '%s\n' "$ready" >&6
  # A word, the end of file when the minder is gone, or a signal: in each case the claim decides.
  IFS= read -r word <&3
  read_line "$directory/minder/claim" && claimed=$line || claimed=
  [ -n "$claimed" ] || claim expired
  if [ "$claimed" != go ] || [ "$is_stopping" = yes ]; then exit 0; fi
  # Only the word itself proves that the claim is on the disk.
  [ "$word" = go ] || make_last "$directory/minder/claim" "$directory/minder" || exit 1
  run_agent "$@"
}

# keep_certificates: $value names a file of authorities that jobs may not see, so the agent gets a copy.
keep_certificates() {
  case $value in NODE_EXTRA_CA_CERTS=/* | SSL_CERT_FILE=/*) ;; *) return 0 ;; esac
  copy=$directory/opt/etc/${value%%=*}.pem
  [ ! -f "${value#*=}" ] || ! cp "${value#*=}" "$copy" 2>/dev/null || value=${value%%=*}=$copy
}

# place_bmat: the job's control program, under the directory that jobs see.
place_bmat() {
  case $bmat_count in
  0) return 0 ;;
  1)
    # The real agent is one program with two names; its own name tells it what to do.
    show_inside "$bmat_path"
    ln -sf "$inside" "$directory/opt/bin/bmat"
    ;;
  *)
    printf '#!/bin/sh\nexec%s "$@"\n' "$bmat_text" >"$directory/opt/bin/bmat" && chmod 755 "$directory/opt/bin/bmat"
    ;;
  esac
}

# mark_processes: without a namespace, processes get a mark that they inherit and that closing files or clearing the
# environment does not remove: a limit that the kernel keeps and shows but does not use (RLIMIT_LOCKS).
mark_processes() {
  mark_of "$cookie"
  { ulimit -w "$mark" || ulimit -x "$mark"; } 2>/dev/null
}

# run_agent NAME=VALUE... -- COMMAND...: as a child of this shell, which reaps what the agent leaves behind, and stays after its end, because
# with it all else would end.
run_agent() {
  # Once, whatever else goes wrong.
  { set -C && printf '' >"$directory/minder/started"; } 2>/dev/null || exit 1
  set +C
  trapped=no nap='' agent='' pending='' what=
  trap forward_term TERM
  # From `quiet`: the agent ends, and this stays, and the testbed's lock with it.
  trap 'end_agent TERM' USR1
  trap 'end_agent KILL' USR2
  # A process group of its own, where that is what the agent's processes are found by.
  if [ "$isolate" = off ] && ! command -v setsid >/dev/null; then set -m; fi
  # The file is there and private; what jobs make has the usual mode.
  umask 022
  exec_agent "$@" </dev/null >>"$directory/agent.log" 2>&1 3<&- 6>&- &
  agent=$!
  set +m
  umask 077
  printf '%s\n' "$agent" >"$directory/minder/agent"
  printf 'went\n' >&6
  # It may have come before there was anybody to forward it to.
  [ "$is_stopping" = no ] || forward_term
  [ -z "$pending" ] || end_agent "$pending"
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
  # ksh adds 256 to a signal's number, all others 128.
  if [ "$status" -gt 256 ]; then status=$((status - 128)); fi
  if [ "$status" -gt 128 ]; then what="signal\":$((status - 128))"; else what="code\":$status"; fi
  record_exit
  [ "$is_stopping" = no ] || exit 0
  while :; do
    # A program of its own, also where sleep is a part of the shell.
    (exec sleep 3600) 3<&- 6>&- &
    nap=$!
    wait "$nap"
    # A late word of `quiet` may have ended the wait.
    kill -KILL "$nap" 2>/dev/null
  done
}

# exec_agent NAME=VALUE... -- COMMAND...: becomes it, with this environment and no other. Everybody can read arguments: no value
# is ever one. Any name may be exported, so that no variable is used here.
exec_agent() {
  # The factory's own Bun has raised it, and what it starts inherits that.
  [ -z "$open_files" ] || ulimit -S -n "$open_files" 2>/dev/null
  unset LC_ALL PWD OLDPWD SHLVL BUILDOMAT_FACTORY_COOKIE
  while [ "$1" != -- ]; do
    export "$1"
    shift
  done
  shift
  exec "$@"
}

# record_exit: how the agent ended, in $what.
record_exit() {
  { printf '{"%s}\n' "$what" >"$directory/minder/exit.new" &&
    mv "$directory/minder/exit.new" "$directory/minder/exit.json"; } 2>/dev/null
}

forward_term() {
  is_stopping=yes
  if [ -n "$nap" ]; then
    kill -KILL "$nap" 2>/dev/null
    exit 0
  fi
  end_agent TERM
}

# end_agent SIGNAL: if the agent is not there yet, as soon as it is.
end_agent() {
  trapped=yes pending=$1
  if [ -z "$agent" ]; then
    # Its end may not have been written: the disk was full.
    [ -z "$what" ] || [ -s "$directory/minder/exit.json" ] || record_exit
    return 0
  fi
  if [ "$isolate" = off ]; then kill "-$1" "-$agent" 2>/dev/null || kill "-$1" "$agent" 2>/dev/null; else kill "-$1" "$agent" 2>/dev/null; fi
}
