_barnacle() {
    local i cur prev opts cmds
    COMPREPLY=()
    cur="${COMP_WORDS[COMP_CWORD]}"
    if [[ $COMP_CWORD -ge 1 ]]; then
        prev="${COMP_WORDS[COMP_CWORD-1]}"
    else
        prev=""
    fi
    cmd=""
    opts=""

    for i in ${COMP_WORDS[@]}; do
        case "${i}" in
            barnacle | */barnacle)
                cmd="barnacle"
                ;;
            run)
                cmd="barnacle_run"
                ;;
            chat)
                cmd="barnacle_chat"
                ;;
            health)
                cmd="barnacle_health"
                ;;
            status)
                cmd="barnacle_status"
                ;;
            devices)
                cmd="barnacle_devices"
                ;;
            nodes)
                cmd="barnacle_nodes"
                ;;
            channels)
                cmd="barnacle_channels"
                ;;
            audit)
                cmd="barnacle_audit"
                ;;
            call)
                cmd="barnacle_call"
                ;;
            service)
                cmd="barnacle_service"
                ;;
            doctor)
                cmd="barnacle_doctor"
                ;;
            logs)
                cmd="barnacle_logs"
                ;;
            backup)
                cmd="barnacle_backup"
                ;;
            restore)
                cmd="barnacle_restore"
                ;;
            import)
                cmd="barnacle_import"
                ;;
            update)
                cmd="barnacle_update"
                ;;
        esac
    done

    case "${cmd}" in
        barnacle)
            opts="--help --version"
            cmds="run chat health status devices nodes channels audit call service doctor logs backup restore import update"
            case "${prev}" in
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        barnacle_run)
            opts="--help --config --state-dir --port --bind --token"
            case "${prev}" in
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                --state-dir)
                    COMPREPLY=()
                    return 0
                    ;;
                --port)
                    COMPREPLY=()
                    return 0
                    ;;
                --bind)
                    COMPREPLY=()
                    return 0
                    ;;
                --token)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        barnacle_chat)
            opts="--help --session --thinking --url --token --password --config --state-dir --timeout"
            case "${prev}" in
                --session)
                    COMPREPLY=()
                    return 0
                    ;;
                --thinking)
                    COMPREPLY=()
                    return 0
                    ;;
                --url)
                    COMPREPLY=()
                    return 0
                    ;;
                --token)
                    COMPREPLY=()
                    return 0
                    ;;
                --password)
                    COMPREPLY=()
                    return 0
                    ;;
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                --state-dir)
                    COMPREPLY=()
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        barnacle_health)
            opts="--help --json --url --token --password --config --state-dir --timeout"
            case "${prev}" in
                --url)
                    COMPREPLY=()
                    return 0
                    ;;
                --token)
                    COMPREPLY=()
                    return 0
                    ;;
                --password)
                    COMPREPLY=()
                    return 0
                    ;;
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                --state-dir)
                    COMPREPLY=()
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        barnacle_status)
            opts="--help --json --url --token --password --config --state-dir --timeout"
            case "${prev}" in
                --url)
                    COMPREPLY=()
                    return 0
                    ;;
                --token)
                    COMPREPLY=()
                    return 0
                    ;;
                --password)
                    COMPREPLY=()
                    return 0
                    ;;
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                --state-dir)
                    COMPREPLY=()
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        barnacle_devices)
            opts="--help --role --json --url --token --password --config --state-dir --timeout"
            case "${prev}" in
                --role)
                    COMPREPLY=()
                    return 0
                    ;;
                --url)
                    COMPREPLY=()
                    return 0
                    ;;
                --token)
                    COMPREPLY=()
                    return 0
                    ;;
                --password)
                    COMPREPLY=()
                    return 0
                    ;;
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                --state-dir)
                    COMPREPLY=()
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        barnacle_nodes)
            opts="--help --json --url --token --password --config --state-dir --timeout"
            case "${prev}" in
                --url)
                    COMPREPLY=()
                    return 0
                    ;;
                --token)
                    COMPREPLY=()
                    return 0
                    ;;
                --password)
                    COMPREPLY=()
                    return 0
                    ;;
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                --state-dir)
                    COMPREPLY=()
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        barnacle_channels)
            opts="--help --account --json --url --token --password --config --state-dir --timeout"
            case "${prev}" in
                --account)
                    COMPREPLY=()
                    return 0
                    ;;
                --url)
                    COMPREPLY=()
                    return 0
                    ;;
                --token)
                    COMPREPLY=()
                    return 0
                    ;;
                --password)
                    COMPREPLY=()
                    return 0
                    ;;
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                --state-dir)
                    COMPREPLY=()
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        barnacle_audit)
            opts="--help --number -n --tool --session --json --url --token --password --config --state-dir --timeout"
            case "${prev}" in
                --number | -n)
                    COMPREPLY=()
                    return 0
                    ;;
                --tool)
                    COMPREPLY=()
                    return 0
                    ;;
                --session)
                    COMPREPLY=()
                    return 0
                    ;;
                --url)
                    COMPREPLY=()
                    return 0
                    ;;
                --token)
                    COMPREPLY=()
                    return 0
                    ;;
                --password)
                    COMPREPLY=()
                    return 0
                    ;;
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                --state-dir)
                    COMPREPLY=()
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        barnacle_call)
            opts="--help --list --compact --first --url --token --password --config --state-dir --timeout"
            case "${prev}" in
                --url)
                    COMPREPLY=()
                    return 0
                    ;;
                --token)
                    COMPREPLY=()
                    return 0
                    ;;
                --password)
                    COMPREPLY=()
                    return 0
                    ;;
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                --state-dir)
                    COMPREPLY=()
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        barnacle_service)
            opts="--help --user --now"
            case "${prev}" in
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        barnacle_doctor)
            opts="--help --fix --json --url --token --password --config --state-dir --timeout"
            case "${prev}" in
                --url)
                    COMPREPLY=()
                    return 0
                    ;;
                --token)
                    COMPREPLY=()
                    return 0
                    ;;
                --password)
                    COMPREPLY=()
                    return 0
                    ;;
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                --state-dir)
                    COMPREPLY=()
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        barnacle_logs)
            opts="--help --follow -f --lines -n --level --json --url --token --password --config --state-dir --timeout"
            case "${prev}" in
                --lines | -n)
                    COMPREPLY=()
                    return 0
                    ;;
                --level)
                    COMPREPLY=()
                    return 0
                    ;;
                --url)
                    COMPREPLY=()
                    return 0
                    ;;
                --token)
                    COMPREPLY=()
                    return 0
                    ;;
                --password)
                    COMPREPLY=()
                    return 0
                    ;;
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                --state-dir)
                    COMPREPLY=()
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        barnacle_backup)
            opts="--help --config --state-dir"
            case "${prev}" in
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                --state-dir)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        barnacle_restore)
            opts="--help --dry-run --config --state-dir"
            case "${prev}" in
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                --state-dir)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        barnacle_import)
            opts="--help --apply --merge --config --state-dir"
            case "${prev}" in
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                --state-dir)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        barnacle_update)
            opts="--help --check --url --token --password --config --state-dir --timeout"
            case "${prev}" in
                --url)
                    COMPREPLY=()
                    return 0
                    ;;
                --token)
                    COMPREPLY=()
                    return 0
                    ;;
                --password)
                    COMPREPLY=()
                    return 0
                    ;;
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                --state-dir)
                    COMPREPLY=()
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
    esac
}

complete -F _barnacle -o bashdefault -o default barnacle
