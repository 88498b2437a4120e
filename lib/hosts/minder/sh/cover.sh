# Hides from an isolated instance the factory's own files, other instances and the host's /tmp. Whole directories are covered
# by empty ones, in which the paths that the instance needs are shown again. In a directory with files of others, only single
# names are hidden.

# plan_covers: from $covers, $hides and $keeps (a path a line; what is kept may be below what is covered) makes $places, and
# adds to $mounts what fills the covers. Those themselves are added by add_covers, once all that they cover has been bound.
plan_covers() {
  cover_count=0 made='' marked='' hidden_name='' own_opt=
  # Its own directory, by each of its names.
  cd -P "$directory" || return 1
  real=$PWD
  cd /
  keeps="$directory$newline$real$newline$keeps"
  read_mounts
  IFS=$newline
  for place in "${directory%/*}" $covers; do add_place c "$place"; done
  # Also hide the target of a link.
  for place in $hides; do
    [ ! -L "$place" ] || hides="$hides$newline$(readlink -f "$place")"
  done
  for place in $hides; do
    hidden_name=${place##*/}
    add_place h "${place%/*}"
  done
  hidden_name=
  add_place t /tmp
  [ "$elevated" != yes ] || add_opt
  # Follow links, because a link's target may also be covered.
  for kept in $keeps; do
    if cd -P "${kept%/*}/" 2>/dev/null; then
      keeps="$keeps$newline${PWD%/}/${kept##*/}"
      [ ! -L "$kept" ] || keeps="$keeps$newline$(readlink -f "$kept")"
    fi
  done
  cd /
  drop_needless
  for place in $places; do
    IFS=" $tab$newline"
    cover_count=$((cover_count + 1))
    show_kept "${place%% *}" "${place#* }"
    IFS=$newline
  done
  IFS=" $tab$newline"
  make_skeletons || return 1
  cover_count=0
  IFS=$newline
  for place in $places; do
    IFS=" $tab$newline"
    cover_count=$((cover_count + 1))
    case $place in
    h*) mirror "${place#* }" "$directory/minder/cover/$cover_count" || return 1 ;;
    esac
    # The host may not have one.
    [ "${place#* }/buildomat" != "$own_opt" ] || mkdir -p "$directory/minder/cover/$cover_count/buildomat" || return 1
    IFS=$newline
  done
  IFS=" $tab$newline"
}

# add_opt: an agent from buildomat's main line always uses /opt/buildomat, so the instance gets its own.
add_opt() {
  if cd -P /opt/buildomat 2>/dev/null; then
    own_opt=$PWD keeps="$keeps$PWD$newline"
  elif [ -e /opt/buildomat ] || [ -L /opt/buildomat ]; then
    return 0
  elif cd -P /opt 2>/dev/null; then
    own_opt=${PWD%/}/buildomat
    insert_place h "$PWD"
  elif [ -e /opt ] || [ -L /opt ]; then
    return 0
  else
    own_opt=/opt/buildomat shows_host=yes
  fi
  cd /
  insert_place o "$own_opt"
}

# own_place KIND: sets $cover for a place that is a directory of the instance itself, or one of minder/cover.
own_place() {
  case $1 in
  t) cover=$directory/tmp ;;
  o) cover=$directory/opt ;;
  *) cover=$directory/minder/cover/$cover_count ;;
  esac
}

# add_place KIND PATH: c is covered, h shows all but $hidden_name, t is /tmp, o /opt/buildomat. Also its other names on this host,
# by bind mounts.
add_place() {
  # A place that does not exist or is closed to this user needs no cover.
  cd -P "$2/" 2>/dev/null || return 0
  insert_place "$1" "$PWD"
  [ "$1" = t ] || find_aliases "$1" "$PWD"
  cd /
}

# insert_place KIND PATH: before all that is below it.
insert_place() {
  insert_kind=$1 before='' after=''
  if [ -n "$hidden_name" ]; then
    hidden="$hidden${2%/}/$hidden_name$newline"
    if [ "$2" = / ]; then shows_host=yes; fi
  fi
  [ "$2" != / ] || return 0
  for each in $places; do
    case ${each#* } in
    "$2") [ "$insert_kind" != h ] || insert_kind=${each%% *} ;;
    "$2"/*) after="$after$each$newline" ;;
    *) before="$before$each$newline" ;;
    esac
  done
  places="$before$insert_kind $2$newline$after"
}

# read_mounts: sets $seen_mounts to a line "DEVICE/ROOT POINT" for each mount.
read_mounts() {
  seen_mounts=
  {
    while read -r mount_id mount_parent mount_device mount_root mount_point line; do
      # Names with spaces are escaped; nobody's base directory is found by them.
      seen_mounts="$seen_mounts$mount_device${mount_root%/} $mount_point$newline"
    done <"$proc/self/mountinfo"
  } 2>/dev/null
}

# find_aliases KIND PATH: the same directory, where its file system is mounted more than once.
find_aliases() {
  own_root='' own_point=
  for each in $seen_mounts; do
    is_longer "${each##* }" "$2" || continue
    own_root=${each% *} own_point=${each##* }
  done
  own_point=${own_point%/}
  inner=$own_root${2#"$own_point"}
  for each in $seen_mounts; do
    mount_root=${each% *} mount_point=${each##* }
    case $inner/ in
    "$mount_root"/*)
      alias=${mount_point%/}${inner#"$mount_root"}
      [ "$alias" = "$2" ] || ! [ "$alias" -ef "$2" ] || insert_place "$1" "$alias"
      ;;
    esac
  done
}

# is_longer POINT PATH: the path is at or below this mount point, and no longer one is known; of equals the last one counts.
is_longer() {
  # A variable: bash matches nothing with an empty word in quotes that has been cut.
  point=${1%/}
  case $2/ in "$point"/*) [ "${#1}" -ge "${#own_point}" ] ;; *) return 1 ;; esac
}

# drop_needless: removes places that another cover already hides, unless a kept path shows them again.
drop_needless() {
  needed=
  for place in $places; do
    is_needed=yes
    case $place in o*) needed="$needed$place$newline" && continue ;; esac
    for each in $places; do
      case $each in h*) continue ;; esac
      case ${place#* } in "${each#* }"/*) ;; *) continue ;; esac
      is_needed=no
      for kept in $keeps; do
        case $kept in "${each#* }"/*) ;; *) continue ;; esac
        case ${place#* }/ in "$kept"/*) is_needed=yes ;; esac
      done
      [ "$is_needed" = yes ] || break
    done
    [ "$is_needed" = no ] || needed="$needed$place$newline"
  done
  places=$needed
}

# show_kept KIND PATH: shows its kept paths in its cover.
show_kept() {
  own_place "$1"
  made="$made$cover$newline"
  [ "$1" != h ] || return 0
  kept_here=
  IFS=$newline
  for kept in $keeps; do
    IFS=$newline
    case $kept in "$2"/*) ;; *) continue ;; esac
    ! is_hidden "$kept" || continue
    IFS=$newline
    # If kept paths are nested, only the outermost.
    for each in $keeps; do
      case $each in "$2"/*) ;; *) continue ;; esac
      case $kept in "$each"/*) continue 2 ;; esac
    done
    case $newline$kept_here in *"$newline$kept$newline"*) continue ;; esac
    kept_here="$kept_here$kept$newline"
    if [ -d "$kept" ]; then made="$made$cover${kept#"$2"}$newline"
    elif [ -e "$kept" ]; then
      kept_cover=$cover${kept#"$2"}
      made="$made${kept_cover%/*}$newline" marked="$marked$kept_cover$newline"
    else continue; fi
    IFS=" $tab$newline"
    # Not with what is mounted below its own directory: the covers themselves are.
    if [ -d "$kept" ] && ! [ "$kept" -ef "$directory" ]; then add_mount "$kept" "$cover${kept#"$2"}" rbind
    else add_mount "$kept" "$cover${kept#"$2"}" bind; fi
    IFS=$newline
  done
  IFS=" $tab$newline"
}

# make_skeletons: makes the directories and files over which kept ones are bound.
make_skeletons() {
  # The job's users can pass through, but list only what is shown.
  umask 022
  IFS=$newline
  mkdir -p $made
  skeleton_result=$?
  made=
  for marked_file in $marked; do printf '' >"$marked_file" || skeleton_result=1; done
  IFS=" $tab$newline"
  umask 077
  return "$skeleton_result"
}

# add_covers: over $root, outermost first.
add_covers() {
  cover_count=0
  IFS=$newline
  for place in $places; do
    IFS=" $tab$newline"
    cover_count=$((cover_count + 1))
    own_place "${place%% *}"
    show_inside "${place#* }"
    add_mount "$cover" "$root$inside" rbind
    IFS=$newline
  done
  IFS=" $tab$newline"
}

# is_hidden PATH: one of $hidden, or a name that begins with one, such as an editor's or SQLite's files.
is_hidden() {
  IFS=$newline
  for each in $hidden; do
    hidden_in=${each%/*} hidden_as=${each##*/}
    case $1 in "$hidden_in"/*"$hidden_as"*) IFS=" $tab$newline" && return 0 ;; esac
  done
  IFS=" $tab$newline"
  return 1
}
