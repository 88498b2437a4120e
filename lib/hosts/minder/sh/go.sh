# go: starts the agent of an armed instance, once.

# go DIRECTORY LOCKS: stdin is "worker JSON", lines of etc/agent.json each after a space, "end". Its secret is never an argument.
go() {
  directory=$1 locks=$2
  worker_json='' is_whole=no agent_json=
  while IFS= read -r line; do
    case $line in
    'worker '*) worker_json=${line#worker } ;;
    ' '*) agent_json="$agent_json${line# }$newline" ;;
    end) is_whole=yes ;;
    esac
  done
  know_host
  if [ "$is_whole" = no ]; then
    answer 'cannot-tell the request was cut short'
    return
  fi
  if [ ! -d "$directory/minder" ]; then
    if is_locked_elsewhere; then
      answer "cannot-tell $directory is gone, but $holder is alive"
    else
      answer expired
    fi
    return
  fi
  # The directory may change while it is read: only a state that lasts for a while is an answer.
  waited=0 trouble='it is not armed yet'
  while :; do
    read_instance "$directory"
    settle_unstarted
    [ -n "$claimed" ] || claim_for_go
    case $claimed in go | expired) break ;; esac
    [ "$waited" -lt 1000 ] || break
    pause
  done
  case $claimed in
  go)
    # The claim and the identity are on the disk before anything is started, so that nobody starts a second agent after `go`.
    if ! make_last "$directory/minder/claim" "$directory/minder/minder" "$directory/minder/identity.json" \
      "$directory/minder"; then
      answer "cannot-tell cannot write the mark in $directory to the disk"
    else
      if [ ! -e "$directory/minder/started" ] && [ -p "$directory/minder/gate" ]; then
        printf 'go\n' 1<>"$directory/minder/gate"
      fi
      answer went
    fi
    ;;
  expired)
    rm -f "$directory/opt/etc/agent.json"
    answer expired
    ;;
  *) answer "cannot-tell $trouble" ;;
  esac
}

# claim_for_go: claims the start if nobody has; if not possible, $trouble says why.
claim_for_go() {
  if [ "$first_life" = dead ] || { [ "$minder_life" != alive ] && is_unstarted; }; then
    # There is no process that could start an agent, and now there never will be.
    claim expired && claimed=expired
  elif [ "$first_life" = alive ] && [ -e "$directory/minder/armed" ]; then
    secret_file="$directory/opt/etc/agent.json"
    if { printf '%s' "$agent_json" >"$secret_file.$$" && mv "$secret_file.$$" "$secret_file"; } 2>/dev/null; then
      claim go "$worker_json" && claimed=go
    else
      rm -f "$secret_file.$$"
      trouble="cannot write $secret_file"
    fi
  fi
}
