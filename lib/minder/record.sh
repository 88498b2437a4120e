# What an instance directory says of itself: minder/minder, minder/identity.json and minder/claim.

# claim WHAT: the one act that go and expiry contend for. True for whoever made it. $claimed says who did.
claim() {
  if read_line "$directory/minder/claim"; then
    claimed=$line
    return 1
  fi
  claim_file="$directory/minder/$1.$$"
  printf '%s\n' "$1" "${2:-}" >"$claim_file" || return 1
  ln "$claim_file" "$directory/minder/claim" 2>/dev/null
  claim_result=$?
  rm -f "$claim_file"
  claimed=
  read_line "$directory/minder/claim" && claimed=$line
  return "$claim_result"
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
  first_life=unknown first_pid='' first_start=''
  went=no claimed='' cap=0 isolate=auto
  if read_line "$1/minder/claim"; then
    claimed=$line
    [ "$claimed" != go ] || went=yes
  fi
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
      json_field cookie && judge "$first_boot" "$first_space" "$first_pid" "$first_start" "$field" &&
      first_life=$life
  fi
  # stop() wrote it on an operator's word.
  if [ -e "$1/minder/vouched" ]; then
    [ "$first_life" != unknown ] || first_life=dead
    [ "$minder_life" != unknown ] || minder_life=dead
  fi
}

# is_unstarted: nobody has written who the first process is, and it was never armed: whatever was begun ends by itself.
is_unstarted() {
  [ ! -e "$directory/minder/armed" ] && [ ! -s "$directory/minder/identity.json" ]
}

# is_others COOKIE: $directory is on record as another instance's. Without a cookie it is taken for the one that is meant.
is_others() {
  [ -n "$1" ] && read_line "$directory/minder/minder" || return 1
  set -- "$1" $line
  [ "$#" = 8 ] && [ "$6" != "$1" ]
}
