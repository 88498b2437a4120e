# What an isolated instance sees of the host's files. The host's own / is never written.

# isolate_mounts: /proc of the new pid namespace, and the instance's own /work and /input. The host's / is never written.
isolate_mounts() {
  if [ -d /work ] && [ -d /input ] && [ "$shows_host" = no ]; then
    mount --bind "$directory/work" /work && mount --bind "$directory/input" /input && mount -t proc proc /proc
  else
    change_root "$directory/minder/root"
  fi || return 1
  show_inside "$directory"
  read_process self
  if [ "$seen_pid" != 1 ] || ! [ "$inside/work" -ef /work ] || ! [ "$inside/input" -ef /input ]; then
    printf 'failed the namespaces are not what was asked for\n' >&6
    return 1
  fi
}

# change_root NEW: an empty root, into which all that the host has in / is bound, but for /work, /input and /proc.
change_root() {
  root=$1 mounts='' directories='' links=''
  mount -t tmpfs -o mode=755 tmpfs "$root" || return 1
  set +f
  set -- /* /.[!.]* /..?*
  set -f
  # Two lists in one: the arguments become what mkdir makes, the file's lines what mount mounts.
  count=$#
  while [ "$count" -gt 0 ]; do
    count=$((count - 1)) entry=$1
    shift
    case $entry in
    /work | /input | /proc | /.host | /.old | *"$newline"*) continue ;;
    esac
    if [ -L "$entry" ]; then
      case $entry in *[\ "$tab"]*) ;; *) links="$links $entry" ;; esac
    elif [ -d "$entry" ]; then
      set -- "$@" "$root$entry"
      add_mount "$entry" "$root$entry" rbind
    elif [ -e "$entry" ]; then
      printf '' >"$root$entry" || return 1
      add_mount "$entry" "$root$entry" bind
    fi
  done
  add_mount "$directory/work" "$root/work" bind
  add_mount "$directory/input" "$root/input" bind
  if [ "$shows_host" = yes ]; then
    for entry in /work /input; do
      [ -d "$entry" ] || continue
      mkdir -p "$root/.host$entry" || return 1
      add_mount "$entry" "$root/.host$entry" rbind
    done
  fi
  mkdir "$@" "$root/work" "$root/input" "$root/proc" "$root/.old" || return 1
  [ -z "$links" ] || cp -RP $links "$root/" || return 1
  add_mount proc "$root/proc" proc
  printf '%s' "$mounts" >"$directory/minder/mounts" || return 1
  mount -a -T "$directory/minder/mounts" || return 1
  cd "$root" && pivot_root . .old && cd / && umount -l /.old && rmdir /.old
}

# add_mount FROM TO HOW: a line for `mount -a`, which makes all of them in one process.
add_mount() {
  mount_line=
  for field in "$1" "$2"; do
    while :; do
      case $field in
      *[\\\ "$tab"]*)
        plain=${field%%[\\\ "$tab"]*}
        field=${field#"$plain"}
        case $field in
        \\*) mount_line="$mount_line$plain\\134" ;;
        ' '*) mount_line="$mount_line$plain\\040" ;;
        *) mount_line="$mount_line$plain\\011" ;;
        esac
        field=${field#?}
        ;;
      *) break ;;
      esac
    done
    mount_line="$mount_line$field "
  done
  case $3 in
  proc) mounts="$mounts${mount_line}proc defaults 0 0$newline" ;;
  *) mounts="$mounts${mount_line}none $3 0 0$newline" ;;
  esac
}
