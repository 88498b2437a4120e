# The verbs: the last part, where the program begins.

verb=$1 nonce=$2
shift 2
case $verb in
mind | first)
  # Not called from outside: the cookie stands where verbs have their mark, first among the arguments.
  "$verb" "$nonce" "$@"
  exit
  ;;
esac
printf '%s begin\n' "$nonce"
case $verb in
arm | go | look | stop | tidy | recall) "$verb" "$@" ;;
tail) tail_log "$@" ;;
locks) print_locks "$@" ;;
esac
printf '%s end\n' "$nonce"
