# Builds an isolated instance's view of the host's files. The host's own / is never changed.

# isolate_mounts: /proc of the new pid namespace, the instance's own /work, /input and /tmp, and covers over what is not the
# instance's. What is wrong is said on 6.
isolate_mounts() {
  mounts='' hidden='' places='' root=
  if [ "$elevated" = yes ]; then
    own_run || return 1
    # A job can run without its own bmat, but the agent needs its own socket.
    own_bmat
  fi
  mounts='' root=
  plan_covers || return 1
  if [ -d /work ] && [ -d /input ] && [ "$shows_host" = no ]; then
    add_mount "$directory/work" /work bind
    add_mount "$directory/input" /input bind
    add_covers
    # Not in one with the others: it would be taken for the one that is there.
    mount_all && mount -t proc proc /proc
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

# show_inside PATH: sets $inside to where an isolated instance sees it. What the host has below /work and /input is hidden
# by the instance's own, and shown below /.host where something of it is needed.
show_inside() {
  inside=$1
  [ "$isolate" != off ] || return 0
  case $1 in /work/* | /input/*) inside=/.host$1 shows_host=yes ;; esac
}

# change_root NEW: makes an empty root and binds every entry of the host's / into it, except /work, /input and /proc.
change_root() {
  root=$1
  mount -t tmpfs -o mode=755 tmpfs "$root" || return 1
  made="$root/work$newline$root/input$newline$root/proc"
  mirror / "$root" /work /input /proc /.host || return 1
  [ -e /opt ] || [ -z "$own_opt" ] || mkdir -p "$root$own_opt" || return 1
  add_mount "$directory/work" "$root/work" bind
  add_mount "$directory/input" "$root/input" bind
  if [ "$shows_host" = yes ]; then
    for entry in /work /input; do
      [ -d "$entry" ] || continue
      mkdir -p "$root/.host$entry" || return 1
      add_mount "$entry" "$root/.host$entry" rbind
    done
  fi
  add_covers
  add_mount proc "$root/proc" proc
  mount_all || return 1
  # The old root is then mounted over the new one, and is unmounted from there.
  cd "$root" && pivot_root . . && umount -l . && cd /
}

# own_run: agents that are root have their socket in /var/run, all under one name. It becomes the instance's own directory,
# in which all that the host's has is shown, but for that socket.
own_run() {
  root=$directory/minder/root mounts='' made=
  run=$(cd -P /var/run && pwd) || return 1
  mount -t tmpfs -o mode=755 tmpfs "$root" && mirror "$run" "$root" "$run/buildomat.sock" || return 1
  # Files that appeared or disappeared meanwhile do not matter.
  mount_all 2>/dev/null
  mount --move "$root" "$run" && [ ! -e /var/run/buildomat.sock ]
}

# own_bmat: where jobs of an agent that is root look for it. Where the host has no such file, its directory is shown with
# one more file, and cannot be written.
own_bmat() {
  case $bmat_count in
  0) return 0 ;;
  1) ;;
  *) bmat_path=$directory/opt/bin/bmat ;;
  esac
  if [ -f /usr/bin/bmat ]; then
    mount --bind "$bmat_path" /usr/bin/bmat
  else
    # Named from within: a colon in the path would end it.
    chmod 755 "$directory/opt/bin" && (cd "$directory/opt/bin" && mount -t overlay -o lowerdir=.:/usr/bin overlay /usr/bin)
  fi
}

# mirror FROM TO SKIPPED...: makes in TO what FROM has, and the directories of $made, and adds to $mounts what binds it there;
# links are copied.
mirror() {
  from=${1%/} to=$2 skipped=" $* " links=
  set +f
  set -- "$from"/* "$from"/.[!.]* "$from"/..?*
  set -f
  # Two lists in one: the arguments become what mkdir makes, the file's lines what mount mounts.
  count=$#
  while [ "$count" -gt 0 ]; do
    count=$((count - 1)) entry=$1
    shift
    case $entry in *"$newline"*) continue ;; esac
    case $skipped in *" $entry "*) continue ;; esac
    ! is_hidden "$entry" || continue
    if [ -L "$entry" ]; then
      case $entry in *[\ "$tab"]*) ;; *) links="$links $entry" ;; esac
    elif [ -d "$entry" ]; then
      set -- "$@" "$to/${entry##*/}"
      add_mount "$entry" "$to/${entry##*/}" rbind
    elif [ -e "$entry" ]; then
      printf '' >"$to/${entry##*/}" || return 1
      add_mount "$entry" "$to/${entry##*/}" bind
    fi
  done
  IFS=$newline
  set -- "$@" $made
  IFS=" $tab$newline" made=
  [ "$#" = 0 ] || mkdir "$@" || return 1
  [ -z "$links" ] || cp -RP $links "$to/"
}

# mount_all: mounts everything in $mounts, in one process.
mount_all() {
  printf '%s' "$mounts" >"$directory/minder/mounts" && mount -a -T "$directory/minder/mounts"
}

# add_mount FROM TO HOW: adds a line for `mount -a`.
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
