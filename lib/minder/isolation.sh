# Whether instances can have namespaces of their own here, and how they get them.

# has_namespaces: or says in $trouble what is missing.
has_namespaces() {
  trouble=
  [ -e "$proc/self/ns/pid" ] || trouble='this system has no namespaces'
  command -v unshare >/dev/null || trouble="${trouble:-there is no unshare program; install util-linux}"
  [ -z "$trouble" ]
}

# choose_wrapper: sets $wrapper to the words before a first process: what gives it namespaces, or at least a session.
choose_wrapper() {
  wrapper=
  if [ "$isolate" != off ]; then
    wrapper='unshare --pid --fork --kill-child --mount'
    [ "$uid" = 0 ] || wrapper='unshare --user --map-current-user --keep-caps --pid --fork --kill-child --mount'
  elif command -v setsid >/dev/null; then
    wrapper=setsid
  fi
}

# probe SHELL WORK LOCKS ELEVATED OWNER: what an instance would find here. Lines of a word and a text; nothing stays.
probe() {
  work=$2 locks=$3 elevated=$4 owner=$5 isolate=auto
  know_host
  answer "user $uid"
  if ! are_places_safe "$work" "$locks" "$owner" || ! is_elevated_enough; then answer "unusable $reason"; fi
  is_host_usable || answer "unshared $reason"
  read_free_space "$work"
  [ -z "$free_kb" ] || answer "free-kb $free_kb"
  if has_namespaces && try_namespaces "$1"; then answer 'isolation possible'; else answer "isolation refused $trouble"; fi
}

# try_namespaces SHELL: builds those of an instance, in a directory for that; else says in $trouble why it cannot.
try_namespaces() {
  directory=$work/.probe-$$
  trouble="cannot write in $work"
  mkdir "$directory" "$directory/minder" "$directory/minder/root" "$directory/work" "$directory/input" 2>/dev/null || return 1
  choose_wrapper
  trouble=$($wrapper "$1" "$0" try "$uid" "$directory" "$elevated" 2>&1)
  rm -rf "$directory"
  trouble=${trouble%%"$newline"*}
  [ "$trouble" != possible ] || return 0
  trouble=${trouble#failed }
  trouble=${trouble:-unshare failed}
  return 1
}

# try UID DIRECTORY ELEVATED: in namespaces, as `first` is.
try() {
  uid=$1 directory=$2 elevated=$3 isolate=auto shows_host=no bmat_count=0
  show_inside "$directory"
  isolate_mounts 6>&1 && printf 'possible\n'
}
