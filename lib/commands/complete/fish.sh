# fish: completes the words of buildomat-factory-sp-test
function __buildomat_factory_sp_test
    set -l words (commandline -opc) (commandline -ct)
    $words[1] complete -- $words[2..] 2>/dev/null | string match --invert ':*'
end
complete -c buildomat-factory-sp-test -f -a '(__buildomat_factory_sp_test)'
