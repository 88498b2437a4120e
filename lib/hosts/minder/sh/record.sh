# The records of an instance directory: minder/minder, minder/identity.json and minder/claim.

# claim WHAT: go and expiry contend for it; true for the first. Sets $claimed to the winner.
claim() {
  read_claim "$directory"
  [ -z "$claimed" ] || return 1
  claim_file="$directory/minder/$1.$$"
  printf '%s\n' "$1" "${2:-}" >"$claim_file" || return 1
  ln "$claim_file" "$directory/minder/claim" 2>/dev/null
  claim_result=$?
  rm -f "$claim_file"
  read_claim "$directory"
  return "$claim_result"
}

# read_claim DIRECTORY: sets $claimed. A claim is whole when it gets its name, and "go" lasts before anything is started: an
# empty one is of a power cut, and nobody went.
read_claim() {
  claimed=
  if read_line "$1/minder/claim"; then
    claimed=$line
  elif [ -e "$1/minder/claim" ]; then
    # It may have been made between the two lines above: what it says then lasts.
    if read_line "$1/minder/claim"; then claimed=$line; else claimed=expired; fi
  fi
}

# json_field NAME: from the record in $record, which this script wrote itself, on one line.
json_field() {
  field=
  case $record in *"\"$1\":"*) ;; *) return 1 ;; esac
  field=${record#*\""$1"\":}
  field=${field%%[,\}]*}
  field=${field#\"}
  field=${field%\"}
}

# read_instance DIRECTORY: sets $minder_* and $first_* (life and identity), $went, $claimed, $cap.
read_instance() {
  minder_life=unknown minder_pid='' minder_start='' cookie=
  first_life=unknown first_pid='' first_start='' first_cookie=
  went=no cap=0 isolate=auto
  read_claim "$1"
  [ "$claimed" != go ] || went=yes
  if read_line "$1/minder/minder"; then
    set -- "$1" $line
    if [ "$#" = 8 ]; then
      minder_boot=$2 minder_space=$3 minder_pid=$4 minder_start=$5 cookie=$6 isolate=$7 cap=$8
      judge "$2" "$3" "$4" "$5" "$6"
      minder_life=$life
    fi
  fi
  if read_line "$1/minder/identity.json"; then
    record=$line
    json_field boot_id && first_boot=$field && json_field pid_space && first_space=$field &&
      json_field pid && first_pid=$field && json_field start_time && first_start=$field &&
      json_field cookie && first_cookie=$field &&
      judge "$first_boot" "$first_space" "$first_pid" "$first_start" "$first_cookie" && first_life=$life
  fi
  # stop() wrote it because an operator vouched for it.
  if [ -e "$1/minder/vouched" ]; then
    [ "$first_life" != unknown ] || first_life=dead
    [ "$minder_life" != unknown ] || minder_life=dead
  fi
}

# is_unstarted: nobody has written who the first process is, and it was never armed: whatever was begun ends by itself.
is_unstarted() {
  [ ! -e "$directory/minder/armed" ] && [ ! -s "$directory/minder/identity.json" ]
}

# settle_unstarted: a power cut can leave any record empty. An instance without a go signal, whose lock nobody holds and of
# which nothing runs, was never started. A record that can be read counts even if its processes cannot be seen from here. While
# the first records are being written, no other record exists yet.
settle_unstarted() {
  [ "$went" = no ] && { [ -e "$directory/minder/armed" ] || [ -s "$directory/minder/identity.json" ]; } || return 0
  [ "$first_life" = dead ] || { [ "$first_life" = unknown ] && [ -z "$first_cookie" ]; } || return 0
  [ "$minder_life" = dead ] || { [ "$minder_life" = unknown ] && [ -z "$cookie" ]; } || return 0
  [ "$first_life$minder_life" != deaddead ] && ! is_locked_elsewhere || return 0
  find_strays "$cookie" "$directory"
  [ -n "$strays" ] || [ "$stray_proof" = no ] || first_life=dead minder_life=dead
}

# make_last FILE...: they outlive a power cut. Not every system can do that for single files.
make_last() {
  sync "$@" 2>/dev/null || sync
}

# is_others COOKIE: whether the records say that $directory belongs to another instance. Without a cookie: false.
is_others() {
  [ -n "$1" ] && read_line "$directory/minder/minder" || return 1
  set -- "$1" $line
  [ "$#" = 8 ] && [ "$6" != "$1" ]
}
