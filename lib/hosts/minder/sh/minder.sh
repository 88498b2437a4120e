#!/bin/sh
# The minder: one detached job process of a testbed, on the testbed's host. POSIX sh; it needs only POSIX programs, and uses
# setsid, unshare, setpriv and /proc if they exist.
#
#   sh minder.sh VERB NONCE ...        answers in plain lines on stdout, between "NONCE begin" and "NONCE end"
#
# What must stay true, whichever process is killed at any time:
# - A testbed has one live holder. Each contender has its own lock file, and creates it before it looks at the others.
# - An agent is started once. One ln makes `claim`, with "go" or "expired", whichever comes first; only "go" starts the agent.
# - A process is signalled only if boot, pid, start time and cookie match the record; death is proved the same way.
# - Foreign text is read with `read -r`, quoted and passed as arguments; nothing is evaluated.
#
# Processes of an isolated instance:  minder -> unshare -> first (pid 1 of a namespace) -> agent -> ...
# `gate` is a pipe from the minder (and `go`) to first, `events` one from first to the minder: each sees the other's death
# as its end of file.

#
# In an instance directory: agent.log, home/ (HOME), opt/ (BUILDOMAT_OPT), work/ and input/ (what a job sees as /work and
# /input), and minder/ with minder (who the minder is), identity.json (who the first process is), intent.json, claim, armed,
# started, exit.json, and the two pipes.

set -uf
LC_ALL=C PATH=${PATH:-/usr/bin:/bin}:/usr/bin:/bin:/usr/sbin:/sbin
export LC_ALL PATH
unset CDPATH ENV BASH_ENV
umask 077
# The kernel's view of processes; without it, ps is used.
proc=/proc
tab='	'
newline='
'
# The space first: it joins what "$*" joins.
IFS=" $tab$newline"

# answer LINE...: prints a verb's result.
answer() {
  for answer_line; do printf '%s\n' "$answer_line"; done
}

# read_line FILE: sets $line to the first line; false if there is none. It opens only regular files, because a job could put a
# pipe there, and opening that would block.
read_line() {
  line=
  [ -f "$1" ] || return 1
  { IFS= read -r line <"$1"; } 2>/dev/null || [ -n "$line" ]
}

# pause: a short wait, counted in $waited (ms).
pause() {
  if [ "${has_short_sleep:-yes}" = yes ]; then
    if [ "$waited" -lt 30 ]; then pause_ms=5; else pause_ms=40; fi
    if sleep "0.0$((pause_ms / 10))$((pause_ms % 10))" 2>/dev/null; then
      waited=$((waited + pause_ms))
      return
    fi
    has_short_sleep=no
  fi
  sleep 1
  waited=$((waited + 1000))
}
