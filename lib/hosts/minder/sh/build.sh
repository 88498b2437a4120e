# Builds an instance's directories and files, and checks what must be true before a job is taken: an agent that runs, space.

# build: does all of it, or gives up.
build() {
  is_agent_runnable "$agent" && is_agent_fit "$agent" || give_up "failed $reason"
  socket=$directory/opt/run/buildomat.sock
  # sun_path is 104 bytes on some systems, its final zero included.
  [ "${#socket}" -le 103 ] ||
    give_up "failed the path $socket is too long for a socket (at most 103 bytes); choose a shorter general.work_dir"
  read_free_space "$directory"
  [ -z "$free_kb" ] || [ "$free_kb" -ge 65536 ] ||
    give_up "failed only $free_kb KB are free in $work; an instance needs 64 MB"
  mkfifo minder/gate minder/events &&
    printf '%s\n' "$testbed_json" >home/testbed.json &&
    printf '%s\n' "$intent_json" >minder/intent.json &&
    printf '' >>agent.log ||
    give_up "failed cannot write in $directory: its file system may be full or read-only"
}

# is_agent_runnable PATH: if not, $reason says why, with the fix.
is_agent_runnable() {
  reason=
  case $1 in
  /*) ;;
  '') reason='no agent is configured' ;;
  *) reason="the agent's path $1 is not absolute" ;;
  esac
  [ -n "$reason" ] || [ -e "$1" ] || reason="the agent $1 is not there; install it or correct general.agent"
  [ -n "$reason" ] || [ -f "$1" ] || reason="the agent $1 is not a file"
  [ -n "$reason" ] || [ -x "$1" ] || reason="the agent $1 is not executable; chmod +x it"
  [ -n "$reason" ] || why_not_runnable "$1" || reason="the agent $1 $why"
  [ -z "$reason" ]
}

# is_agent_fit PATH: if instances do not suit the agent, $reason says why. An agent from buildomat's main line always uses
# /opt/buildomat. Only an elevated, isolated instance has its own; in any other its job would fail at once.
is_agent_fit() {
  [ "$1" = "$external" ] || return 0
  if [ "$elevated" != yes ]; then
    reason='root, which general.use_privilege_elevation = true gives'
  elif [ "$isolate" = off ]; then
    reason='isolation; allow namespaces, with general.isolate = "auto"'
  else
    return 0
  fi
  is_main_line "$1" || return 0
  reason="the agent $1 is from buildomat's main line and needs $reason; or use another agent, for example the built-in one"
  return 1
}

# is_main_line PATH: true for a program that does not contain the name of the variable BUILDOMAT_OPT; unknown for a script.
# Searching 30 MB takes time, so the result is kept until the file changes.
is_main_line() {
  [ -r "$1" ] || return 1
  listed=$(ls -dilnL "$1")
  if read_line "$work/.agent" && [ "${line#* }" = "$listed" ]; then
    [ "${line%% *}" = main ]
    return
  fi
  agent_kind=other
  case $(od -An -v -tx1 -N4 "$1") in
  *'7f 45 4c 46'*)
    grep -qaF BUILDOMAT_OPT "$1" 2>/dev/null
    # 2 means that grep failed, which proves nothing.
    [ "$?" != 1 ] || agent_kind=main
    ;;
  esac
  { printf '%s\n' "$agent_kind $listed" >"$work/.agent.$$" && mv "$work/.agent.$$" "$work/.agent"; } 2>/dev/null
  [ "$agent_kind" = main ]
}

# quote TEXT: sets $quoted to the text, quoted for sh.
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

# why_not_runnable PATH: false, with the reason in $why, if the system cannot run the agent at all: found here, before a job
# would fail because of it.
why_not_runnable() {
  program=$1
  [ -r "$program" ] && [ -r "$proc/self/exe" ] || return 0
  set -- $(od -An -v -tx1 -N20 "$program")
  case "$*" in
  '7f 45 4c 46 '*)
    [ "$#" = 20 ] || set -- 0 0 0 0 x 0 0 0 0 0 0 0 0 0 0 0 0 0 x x
    agent_class=$5 agent_machine=${19}${20}
    # Compare with od, which runs on this machine.
    set -- $(od -An -v -tx1 -N20 "$proc/self/exe")
    # A 64-bit machine may run 32-bit programs.
    [ "$agent_class" = 01 ] && [ "$5" = 02 ] && return 0
    [ "$agent_class$agent_machine" != "$5${19}${20}" ] || return 0
    why='is for another kind of machine; install the one for this machine'
    ;;
  '23 21 '*)
    read_line "$program"
    line=${line#'#!'}
    set -- $line
    [ "$#" -gt 0 ] && [ -x "$1" ] && return 0
    why="needs ${1:-an interpreter}, which is not there; install it"
    ;;
  *) why='is neither a program nor a script; install it again' ;;
  esac
  return 1
}
