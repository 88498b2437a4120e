# A sleep that can be ended. A part of the minder and of the far end of a lifeline.

# know_nap_end: sets $nap_end, the signal that ends a process that naps.
know_nap_end() {
  case $(type sleep) in *builtin*) nap_end=KILL ;; *) nap_end=TERM ;; esac
}

# nap SECONDS: sleeps, and leaves nothing when this process gets the signal $nap_end. Where sleep is a part of the shell there is
# no other process, and KILL is enough; ksh93 may miss a signal that comes as it begins to wait.
nap() {
  [ "$nap_end" = TERM ] || { sleep "$1"; return; }
  is_over=no nap=
  # KILL, because a child that has not become sleep yet would take a TERM for the one that it was forked with.
  trap 'is_over=yes; [ -z "$nap" ] || kill -KILL "$nap"' TERM
  sleep "$1" &
  nap=$!
  [ "$is_over" = no ] || kill -KILL "$nap"
  wait "$nap"
  [ "$is_over" = no ] || exit 0
}
