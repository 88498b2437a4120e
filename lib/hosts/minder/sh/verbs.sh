# The verbs. This is the last part of the script, where the program starts.

verb=$1 nonce=$2
shift 2
case $verb in
mind | first | try)
  # Not called from outside: the cookie, where there is one, stands where verbs have their mark.
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
