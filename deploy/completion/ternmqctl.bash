# ternmqctl.bash - completes the words of ternmqctl in bash. Source it, or put it, as ternmqctl, into
# /usr/share/bash-completion/completions. What clients chose (identifiers, topics) is not completed:
# it would be read by a shell.

_ternmqctl_files() { # $1: -f or -d; $2: the word so far
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen "$1" -- "$2")
}

_ternmqctl() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} i command='' second='' words=''
    COMPREPLY=()
    case $before in
    --socket) _ternmqctl_files -f "$word"; return ;;
    --sort) mapfile -t COMPREPLY < <(compgen -W 'id connected queue inflight subs in out oldest output dropped' -- "$word"); return ;;
    --by) mapfile -t COMPREPLY < <(compgen -W 'messages bytes' -- "$word"); return ;;
    --qos) mapfile -t COMPREPLY < <(compgen -W '0 1 2' -- "$word"); return ;;
    --filter | --limit | --client | --user | --address | --for | --rate | --count | --prefix-levels) return ;;
    esac
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --socket | --filter | --limit | --client | --user | --address | --for | --rate | --sort | --qos | --count | --by | \
            --prefix-levels) ((i++)) ;;
        -*) ;;
        *) if [[ -z $command ]]; then command=${COMP_WORDS[i]}; elif [[ -z $second ]]; then second=${COMP_WORDS[i]}; fi ;;
        esac
    done
    case $command in
    '') words='status cluster clients client kick subscriptions retained backup reload ban log config explain drain decommission forget rebalance trace topics slow help --version' ;;
    status) words='--all' ;;
    slow) words='--filter --limit --all' ;;
    clients) words='--filter --sort --limit --all' ;;
    drain) words='--for --wait --undo' ;;
    decommission) words='--for --wait' ;;
    forget) words='--dry-run --yes' ;;
    rebalance) words='--dry-run --rate --all --undo' ;;
    subscriptions) words='--client --limit' ;;
    backup)
        if [[ $word != -* ]]; then _ternmqctl_files -d "$word"; return; fi
        words='--force'
        ;;
    retained) if [[ -z $second ]]; then words='ls rm'; elif [[ $second == ls ]]; then words='--limit'; fi ;;
    ban)
        case $second in
        '') words='add rm ls' ;;
        add) words='--client --user --address --for' ;;
        rm) words='--client --user --address' ;;
        ls) words='--limit' ;;
        esac
        ;;
    log)
        if [[ -z $second ]]; then
            words='level'
        else
            words='error warning notice information debug subscribe unsubscribe websockets internal all none'
        fi
        ;;
    config)
        if [[ $second == check && $word != -* ]]; then _ternmqctl_files -f "$word"; return; fi
        if [[ -z $second ]]; then words='show check'; fi
        ;;
    trace) if [[ -z $second ]]; then words='client topic'; else words='--count --for'; fi ;;
    topics) if [[ -z $second ]]; then words='top'; else words='--by --limit --for --prefix-levels'; fi ;;
    explain)
        case $second in
        '') words='pub sub' ;;
        pub) words='--qos --limit' ;;
        sub) words='--qos' ;;
        esac
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words --json --socket --help" -- "$word")
}

complete -F _ternmqctl ternmqctl
