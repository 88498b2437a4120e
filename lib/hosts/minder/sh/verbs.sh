# The verbs. This is the last part of the script, where the program starts.

verb=$1 nonce=$2
shift 2
case $verb in
mind | first | try)
  # These are not called from outside. They get the cookie, if any, in place of the mark.
  "$verb" "$nonce" "$@"
  exit
  ;;
esac
printf '%s begin\n' "$nonce"
case $verb in
arm | probe | go | look | stop | quiet | tidy | kept | remove | recall | look_former | stop_former | find_former_places) "$verb" "$@" ;;
tail) tail_log "$@" ;;
locks) print_locks "$@" ;;
esac
printf '%s end\n' "$nonce"
