# Remains of instances: logs, records and locks.

# tail_log DIRECTORY BYTES: prints "log", then the last bytes unchanged.
tail_log() {
  if [ -f "$1/agent.log" ]; then
    answer log
    tail -c "$2" "$1/agent.log"
    answer ''
  else
    answer 'failed there is no agent.log'
  fi
}

# tidy DIRECTORY COOKIE: removes the job's files, secrets and pipes; keeps the log and small records. After "tidied", see tell_end.
tidy() {
  directory=$1
  know_host
  if [ ! -d "$directory/minder" ] || is_others "${2:-}"; then
    answer tidied
    return
  fi
  read_instance "$directory"
  if { [ "$first_life" != dead ] && ! is_unstarted; } || [ "$minder_life" = alive ]; then
    answer 'refused it is not proved dead'
    return
  fi
  if ! cd "$directory"; then
    answer "cannot-tell cannot enter $directory"
  elif remove_rest 2>/dev/null; then
    answer tidied
    tell_end
  else
    # The job may have made directories read-only, for example a Go module cache: make them writable first.
    find home input work tmp -type d -exec chmod u+rwx {} + 2>/dev/null
    if remove_rest; then answer tidied; else answer "tidied cannot remove all of $directory"; fi
    tell_end
  fi
}

# tell_name DIRECTORY: "job NAME", with NAME as JSON writes it, perhaps cut. A job may have made its record as large as it
# likes: here and below only the beginning is read.
tell_name() {
  for record in "$1/opt/etc/job-done.json" "$1/opt/etc/job.json"; do
    [ -f "$record" ] || continue
    # Both agents indent it so: the names of tasks and of the factory are elsewhere.
    name=$(head -c 100000 "$record" 2>/dev/null |
      LC_ALL=C sed -n '/^  "job": {/,/^  }/s/^    "name": "\(.\{0,200\}\).*/\1/p' | head -n 1)
    [ -z "$name" ] || answer "job $name"
    break
  done
}

# tell_end: the job's name, then "verdict WORD" and "why TEXT", if there are such records.
tell_end() {
  tell_name .
  if [ -f opt/etc/job-verdict ]; then
    head -c 1000 opt/etc/job-verdict 2>/dev/null |
      LC_ALL=C sed -n '1s/^\(.\{0,200\}\).*/verdict \1/p;2s/^\(.\{0,200\}\).*/why \1/p'
  fi
}

remove_rest() {
  rm -rf home input work tmp opt/bin opt/run opt/lib opt/etc/agent.json minder/root minder/cover minder/gate minder/events \
    minder/mounts minder/command minder/watched minder/armed minder/trouble
}

# kept WORK: prints "kept KB NAME" for each directory in it. They may not fit on one command line.
kept() {
  cd "$1" 2>/dev/null || return 0
  find . ! -name . -prune ! -name '.*' -type d -exec du -sk {} + 2>/dev/null |
    while read -r size name; do answer "kept $size ${name#./}"; done
}

# remove DIRECTORY COOKIE: removes an ended instance. Directories that the job made read-only are made writable first.
remove() {
  directory=$1
  know_host
  if is_others "${2:-}"; then
    answer 'refused it has become the directory of another instance'
    return
  fi
  if [ -d "$directory/minder" ]; then
    read_instance "$directory"
    if { [ "$first_life" != dead ] && ! is_unstarted; } || [ "$minder_life" = alive ]; then
      answer 'refused it is not proved dead'
      return
    fi
  fi
  rm -rf "$directory" 2>/dev/null || find "$directory" -type d -exec chmod u+rwx {} + 2>/dev/null
  trouble=$(rm -rf "$directory" 2>&1)
  if [ ! -e "$directory" ]; then answer tidied; else answer "tidied ${trouble%%
*}"; fi
}

# print_locks LOCKS: prints "lock TESTBED COOKIE UID OWNER", "instance TEXT", "directory TEXT" for each.
print_locks() {
  locks=$1
  know_host
  each_lock '*' '*' print_lock
}

print_lock() {
  read_lock "$lock_file"
  judge_lock
  [ ! -e "$lock_file" ] || answer "lock $lock_testbed $lock_cookie ${lock_uid:-none} $lock_life" \
    "instance $lock_instance" "directory $lock_directory_of"
}

# recall WORK AFTER: "directory TEXT", "intent JSON" and, once told to go, "worker JSON" for each instance directory that has
# not ended: what ended has no gate. In pages: the last line may be "more", and AFTER is then the last directory; "again" where
# that is gone.
recall() {
  after=${2:-} count=0
  set +f
  set -- "$1"/*/minder/gate
  set -f
  for gate; do
    directory=${gate%/minder/gate}
    if [ -n "$after" ]; then
      [ "$directory" != "$after" ] || after=
      continue
    fi
    if [ "$count" = 1000 ]; then
      answer more
      return
    fi
    read_line "$directory/minder/intent.json" || continue
    count=$((count + 1))
    answer "directory $directory" "intent $line"
    {
      IFS= read -r claimed && IFS= read -r line && [ "$claimed" = go ] && answer "worker $line"
    } <"$directory/minder/claim" 2>/dev/null
  done
  [ -z "$after" ] || answer again
}
