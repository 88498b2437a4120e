#compdef buildomat-factory-sp-test
_buildomat_factory_sp_test() {
  local offer text
  local -a offers
  while IFS=$'\t' read -r offer text; do
    [[ $offer == :* ]] || offers+=("${offer//:/\\:}:$text")
  done < <(${(Q)words[1]} complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)
  _describe 'buildomat-factory-sp-test' offers || _files
}
compdef _buildomat_factory_sp_test buildomat-factory-sp-test
