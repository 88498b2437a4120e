# The far end of a line: one shell on a host behind ssh, for as long as the connection stands. It runs commands and reports
# what changes in instance directories. Its argument is a mark: every line that it prints begins with it.
#
# It reads lines, and sleeps until the next one comes:
#   run ID WORDS LINES          then so many words, and so many lines of standard input, a line each
#   watch COOKIE DIRECTORY      report this instance's changes
#   forget COOKIE
#   tick NUMBER                 look for changes now; answered if the number ends in 0
#   live                        the factory lives; without one for four minutes this shell ends
# It prints:
#   MARK out|err ID NUMBER TEXT     a line of the command's output; the last one of `out` is "exit CODE"
#   MARK end out|err ID COUNT
#   MARK event COOKIE STATE
#   MARK tick NUMBER
set -uf
mark=$1 watched='' guard='' newline='
'
# Nothing that this shell starts may keep the connection open.
exec 5>&1 3>&- 4>&- 6>&- 7>&- 8>&- 9>&-

# number STREAM ID: counts the lines of a stream, so that a torn or lost one is noticed.
number() {
  count=0
  while IFS= read -r text || [ -n "$text" ]; do
    count=$((count + 1))
    printf '%s\n' "$mark $1 $2 $count $text" >&5
  done
  printf '%s\n' "$mark end $1 $2 $count" >&5
}

# perform ID WORD...: with $input as its standard input.
perform() {
  id=$1
  shift
  {
    {
      printf '%s' "$input" | "$@" 3>&- 5>&-
      printf '\n%s\n' "exit $?" >&3
    } 2>&1 >&3 | number err "$id" 3>&-
  } 3>&1 | number out "$id"
}

# state_of DIRECTORY PID: a hint, from the files that the minder and the agent leave; no process is started for it.
state_of() {
  if [ ! -d "$1/minder" ]; then
    state=gone
  elif [ -e "$1/opt/etc/job-done.json" ]; then
    state=done
  elif [ -e "$1/minder/exit.json" ]; then
    state=exited
  elif [ "$2" != - ] && [ -d "/proc/$$" ] && [ ! -d "/proc/$2" ]; then
    state=gone
  elif [ -e "$1/minder/started" ]; then
    state=went
  else
    state=waiting
  fi
}

# pid_of DIRECTORY: of the instance's first process; - where its record does not tell.
pid_of() {
  pid=-
  # A job could put a pipe there.
  [ -f "$1/minder/identity.json" ] || return 0
  { IFS= read -r record <"$1/minder/identity.json"; } 2>/dev/null || return 0
  case $record in *'"pid":'[1-9]*) ;; *) return 0 ;; esac
  pid=${record#*'"pid":'}
  pid=${pid%%[!0-9]*}
}

look_around() {
  IFS=$newline
  for entry in $watched; do
    directory=${entry#* * * } rest=$entry
    cookie=${rest%% *} rest=${rest#* }
    before=${rest%% *} rest=${rest#* }
    state_of "$directory" "${rest%% *}"
    [ "$state" = "$before" ] || change="$change$cookie$newline"
  done
  IFS=' '
  # This is rare, and the list is made again only then.
  [ -z "$change" ] || report_changes
}

report_changes() {
  old=$watched watched='' change=''
  IFS=$newline
  for entry in $old; do
    directory=${entry#* * * } rest=$entry
    cookie=${rest%% *} rest=${rest#* }
    before=${rest%% *}
    pid_of "$directory"
    state_of "$directory" "$pid"
    [ "$state" = "$before" ] || printf '%s\n' "$mark event $cookie $state" >&5
    watched="$watched$cookie $state $pid $directory$newline"
  done
  IFS=' '
}

forget() {
  old=$watched watched=''
  IFS=$newline
  for entry in $old; do
    case $entry in "$1 "*) ;; *) watched="$watched$entry$newline" ;; esac
  done
  IFS=' '
}

# is_this_shell PID: true if that process carries the mark. The pid may be another's by then.
is_this_shell() {
  if [ -r "/proc/$1/cmdline" ]; then grep -qF "$mark" "/proc/$1/cmdline"
  else ps -o args= -p "$1" | grep -qF "$mark"; fi
}

# renew_guard: ends this shell some minutes after the last sign of life, should the connection never say that it is gone.
renew_guard() {
  end_guard
  # As it is forked the guard has the traps of this shell, and would lose a TERM.
  trap - TERM
  {
    nap 240
    is_this_shell "$$" && kill -KILL "$$"
  } </dev/null >/dev/null 2>&1 5>&- &
  guard=$!
  trap 'exit 0' TERM
}

end_guard() { [ -z "$guard" ] || kill -s "$nap_end" "$guard" 2>/dev/null; }

change='' IFS=' '
know_nap_end
trap end_guard EXIT
# Caught, not ignored: what is ignored would stay so in every command.
trap 'exit 0' HUP PIPE
renew_guard
printf '%s\n' "$mark ready" >&5
while IFS= read -r request; do
  case $request in
  tick\ *)
    look_around
    case $request in *0) printf '%s\n' "$mark $request" >&5 ;; esac
    ;;
  run\ *)
    set -- $request
    id=$2 words=$3 lines=$4 input='' whole=yes
    set --
    while [ "$words" -gt 0 ]; do
      IFS= read -r word || whole=no
      set -- "$@" "$word"
      words=$((words - 1))
    done
    while [ "$lines" -gt 0 ]; do
      IFS= read -r word || whole=no
      input=$input$word$newline
      lines=$((lines - 1))
    done
    # What was cut short is not done. Twice in the background: nobody has to wait for it here.
    [ "$whole" = no ] || (perform "$id" "$@" </dev/null &)
    ;;
  watch\ *)
    set -- ${request#watch }
    forget "$1"
    watched="$watched$1 new - ${request#watch * }$newline" change=$1
    report_changes
    ;;
  forget\ *) forget "${request#forget }" ;;
  live) renew_guard ;;
  esac
done
