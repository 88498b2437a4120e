#!/bin/sh
# The minder: one detached job process of a testbed, on the host where the testbed hangs. POSIX sh, no other program
# assumed than the POSIX ones; setsid, unshare, setpriv and /proc are used where they are.
#
#   sh minder.sh VERB NONCE ...        answers in plain lines on stdout, between "NONCE begin" and "NONCE end"
#
# What must stay true, whoever is killed and whenever:
# - One live holder a testbed. A lock is a file of its own for each contender, announced before the others are looked at.
# - An agent is started once. `claim` is made by one ln, by whoever says "go" or "expired" first; only "go" starts it.
# - A process is signalled only if boot, pid, start time and cookie are those on record; dead is proved the same way.
# - Foreign text is read with `read -r`, kept in quotes and passed as arguments; nothing is evaluated.
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
# Where the kernel shows processes; a place without it is served by ps.
proc=/proc
tab='	'
newline='
'
# The space first: it joins what "$*" joins.
IFS=" $tab$newline"

# answer LINE...: a verb's result.
answer() {
  for answer_line; do printf '%s\n' "$answer_line"; done
}

# read_line FILE: the first line into $line; false where there is none. A job could put a pipe in a file's place, and opening
# that would wait for ever.
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
