# bash: completes the words of buildomat-factory-sp-test
_buildomat_factory_sp_test() {
  local offer rest
  COMPREPLY=()
  while IFS=$'\t' read -r offer rest; do
    [[ $offer == :* || $offer != "${COMP_WORDS[COMP_CWORD]}"* ]] || COMPREPLY+=("$offer")
  done < <("${COMP_WORDS[0]}" complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _buildomat_factory_sp_test buildomat-factory-sp-test
