function __fish_barnacle_using_command
    set -l cmd (commandline -xpc)
    set -e cmd[1]
    set -l target_cmd $argv

    set -l known_value_flags 'account' 'bind' 'config' 'level' 'lines' 'n' 'number' 'password' 'port' 'role' 'session' 'state-dir' 'thinking' 'timeout' 'token' 'tool' 'url' 

    set -l i 1
    set -l cleaned_cmd
    while test $i -le (count $cmd)
        set -l arg $cmd[$i]
        if string match -q -- "-*" $arg
            set -l pure_flag (string replace -r '^--?' '' -- $arg)
            if contains -- $pure_flag $known_value_flags
                set -l next_i (math $i + 1)
                if test $next_i -le (count $cmd)
                    if not string match -q -- "-*" $cmd[$next_i]
                        set i $next_i
                    end
                end
            end
        else
            set -a cleaned_cmd $arg
        end
        set i (math $i + 1)
    end

    set -l count_cleaned (count $cleaned_cmd)
    set -l count_target (count $target_cmd)
    
    if test $count_cleaned -ne $count_target
        return 1
    end
    
    for i in (seq $count_target)
        if test $cleaned_cmd[$i] != $target_cmd[$i]
            return 1
        end
    end
    
    return 0
end

complete -c barnacle -n '__fish_barnacle_using_command' -f -l help -d 'display usage information'
complete -c barnacle -n '__fish_barnacle_using_command' -f -l version -d 'print the version'
complete -c barnacle -n '__fish_barnacle_using_command' -f -a 'run' -d 'Start the gateway; it runs until Ctrl-C or SIGTERM.'
complete -c barnacle -n '__fish_barnacle_using_command' -f -a 'chat' -d 'Talk to the agent: one message, or a conversation.'
complete -c barnacle -n '__fish_barnacle_using_command' -f -a 'health' -d 'Tell whether the gateway is well.'
complete -c barnacle -n '__fish_barnacle_using_command' -f -a 'status' -d 'Tell what the gateway is doing: sessions, model, channels.'
complete -c barnacle -n '__fish_barnacle_using_command' -f -a 'devices' -d 'Say who may connect: list devices, approve or reject those that wait, end their tokens.'
complete -c barnacle -n '__fish_barnacle_using_command' -f -a 'nodes' -d 'List nodes, the phones and machines that lend their commands, and use them.'
complete -c barnacle -n '__fish_barnacle_using_command' -f -a 'channels' -d 'List the services where people write, and let those in who wait for it.'
complete -c barnacle -n '__fish_barnacle_using_command' -f -a 'audit' -d 'Show what agents did with their tools: who asked, what was decided, what came of it.'
complete -c barnacle -n '__fish_barnacle_using_command' -f -a 'call' -d 'Call any method of the gateway and print its answer as JSON.'
complete -c barnacle -n '__fish_barnacle_using_command' -f -a 'service' -d 'Install, remove or look at the gateway as a service of systemd.'
complete -c barnacle -n '__fish_barnacle_using_command' -f -a 'doctor' -d 'Look for what is wrong, and say for each finding what mends it.'
complete -c barnacle -n '__fish_barnacle_using_command' -f -a 'logs' -d 'Show the log: the gateway\'s while it runs, else what is in the files.'
complete -c barnacle -n '__fish_barnacle_using_command' -f -a 'backup' -d 'Write configuration and state into one file, while the gateway runs or not.'
complete -c barnacle -n '__fish_barnacle_using_command' -f -a 'restore' -d 'Bring a backup back, in place of what is there.'
complete -c barnacle -n '__fish_barnacle_using_command' -f -a 'import' -d 'Move in from a Clawdbot or OpenClaw on this machine.'
complete -c barnacle -n '__fish_barnacle_using_command' -f -a 'update' -d 'Put another version in place, from a file, and go back when it doesn\'t work.'
complete -c barnacle -n '__fish_barnacle_using_command run' -f -l help -d 'display usage information'
complete -c barnacle -n '__fish_barnacle_using_command run' -f -l config -r -d 'configuration file (default: ~/.config/barnacle/barnacle.json)'
complete -c barnacle -n '__fish_barnacle_using_command run' -f -l state-dir -r -d 'directory of everything that is written (default: ~/.local/state/barnacle)'
complete -c barnacle -n '__fish_barnacle_using_command run' -f -l port -r -d 'port to listen on (default: gateway.port of the configuration, else 18789)'
complete -c barnacle -n '__fish_barnacle_using_command run' -f -l bind -r -d 'who can connect: loopback, lan, or an address of this machine (default: gateway.bind of the configuration, else loopback)'
complete -c barnacle -n '__fish_barnacle_using_command run' -f -l token -r -d 'shared token; others can see it in the process list, so prefer BARNACLE_TOKEN'
complete -c barnacle -n '__fish_barnacle_using_command chat' -l help -d 'display usage information'
complete -c barnacle -n '__fish_barnacle_using_command chat' -l session -r -d 'which conversation (default: main)'
complete -c barnacle -n '__fish_barnacle_using_command chat' -l thinking -r -d 'how much to think: off, minimal, low, medium, high, xhigh (default: the session\'s)'
complete -c barnacle -n '__fish_barnacle_using_command chat' -l url -r -d 'where the gateway is: ws:// or wss:// (default: this machine, port of the configuration or 18789)'
complete -c barnacle -n '__fish_barnacle_using_command chat' -l token -r -d 'shared token (default: the configuration\'s, else the token file\'s); others can see it in the process list, so prefer BARNACLE_TOKEN'
complete -c barnacle -n '__fish_barnacle_using_command chat' -l password -r -d 'shared password, for a gateway with a password'
complete -c barnacle -n '__fish_barnacle_using_command chat' -l config -r -d 'the gateway\'s configuration file, for port and secret'
complete -c barnacle -n '__fish_barnacle_using_command chat' -l state-dir -r -d 'the gateway\'s state directory, for the token file'
complete -c barnacle -n '__fish_barnacle_using_command chat' -l timeout -r -d 'how many seconds to wait for an answer; 0.5 is possible'
complete -c barnacle -n '__fish_barnacle_using_command health' -f -l help -d 'display usage information'
complete -c barnacle -n '__fish_barnacle_using_command health' -f -l json -d 'print the gateway\'s answer as JSON'
complete -c barnacle -n '__fish_barnacle_using_command health' -f -l url -r -d 'where the gateway is: ws:// or wss:// (default: this machine, port of the configuration or 18789)'
complete -c barnacle -n '__fish_barnacle_using_command health' -f -l token -r -d 'shared token (default: the configuration\'s, else the token file\'s); others can see it in the process list, so prefer BARNACLE_TOKEN'
complete -c barnacle -n '__fish_barnacle_using_command health' -f -l password -r -d 'shared password, for a gateway with a password'
complete -c barnacle -n '__fish_barnacle_using_command health' -f -l config -r -d 'the gateway\'s configuration file, for port and secret'
complete -c barnacle -n '__fish_barnacle_using_command health' -f -l state-dir -r -d 'the gateway\'s state directory, for the token file'
complete -c barnacle -n '__fish_barnacle_using_command health' -f -l timeout -r -d 'how many seconds to wait for an answer; 0.5 is possible'
complete -c barnacle -n '__fish_barnacle_using_command status' -f -l help -d 'display usage information'
complete -c barnacle -n '__fish_barnacle_using_command status' -f -l json -d 'print the gateway\'s answer as JSON'
complete -c barnacle -n '__fish_barnacle_using_command status' -f -l url -r -d 'where the gateway is: ws:// or wss:// (default: this machine, port of the configuration or 18789)'
complete -c barnacle -n '__fish_barnacle_using_command status' -f -l token -r -d 'shared token (default: the configuration\'s, else the token file\'s); others can see it in the process list, so prefer BARNACLE_TOKEN'
complete -c barnacle -n '__fish_barnacle_using_command status' -f -l password -r -d 'shared password, for a gateway with a password'
complete -c barnacle -n '__fish_barnacle_using_command status' -f -l config -r -d 'the gateway\'s configuration file, for port and secret'
complete -c barnacle -n '__fish_barnacle_using_command status' -f -l state-dir -r -d 'the gateway\'s state directory, for the token file'
complete -c barnacle -n '__fish_barnacle_using_command status' -f -l timeout -r -d 'how many seconds to wait for an answer; 0.5 is possible'
complete -c barnacle -n '__fish_barnacle_using_command devices' -l help -d 'display usage information'
complete -c barnacle -n '__fish_barnacle_using_command devices' -l role -r -d 'which of the device\'s tokens: operator or node (default: its only one)'
complete -c barnacle -n '__fish_barnacle_using_command devices' -l json -d 'print the gateway\'s answer as JSON'
complete -c barnacle -n '__fish_barnacle_using_command devices' -l url -r -d 'where the gateway is: ws:// or wss:// (default: this machine, port of the configuration or 18789)'
complete -c barnacle -n '__fish_barnacle_using_command devices' -l token -r -d 'shared token (default: the configuration\'s, else the token file\'s); others can see it in the process list, so prefer BARNACLE_TOKEN'
complete -c barnacle -n '__fish_barnacle_using_command devices' -l password -r -d 'shared password, for a gateway with a password'
complete -c barnacle -n '__fish_barnacle_using_command devices' -l config -r -d 'the gateway\'s configuration file, for port and secret'
complete -c barnacle -n '__fish_barnacle_using_command devices' -l state-dir -r -d 'the gateway\'s state directory, for the token file'
complete -c barnacle -n '__fish_barnacle_using_command devices' -l timeout -r -d 'how many seconds to wait for an answer; 0.5 is possible'
complete -c barnacle -n '__fish_barnacle_using_command nodes' -l help -d 'display usage information'
complete -c barnacle -n '__fish_barnacle_using_command nodes' -l json -d 'print the gateway\'s answer as JSON'
complete -c barnacle -n '__fish_barnacle_using_command nodes' -l url -r -d 'where the gateway is: ws:// or wss:// (default: this machine, port of the configuration or 18789)'
complete -c barnacle -n '__fish_barnacle_using_command nodes' -l token -r -d 'shared token (default: the configuration\'s, else the token file\'s); others can see it in the process list, so prefer BARNACLE_TOKEN'
complete -c barnacle -n '__fish_barnacle_using_command nodes' -l password -r -d 'shared password, for a gateway with a password'
complete -c barnacle -n '__fish_barnacle_using_command nodes' -l config -r -d 'the gateway\'s configuration file, for port and secret'
complete -c barnacle -n '__fish_barnacle_using_command nodes' -l state-dir -r -d 'the gateway\'s state directory, for the token file'
complete -c barnacle -n '__fish_barnacle_using_command nodes' -l timeout -r -d 'how many seconds to wait for an answer; 0.5 is possible'
complete -c barnacle -n '__fish_barnacle_using_command channels' -l help -d 'display usage information'
complete -c barnacle -n '__fish_barnacle_using_command channels' -l account -r -d 'which account of the channel (default: its default one)'
complete -c barnacle -n '__fish_barnacle_using_command channels' -l json -d 'print the gateway\'s answer as JSON'
complete -c barnacle -n '__fish_barnacle_using_command channels' -l url -r -d 'where the gateway is: ws:// or wss:// (default: this machine, port of the configuration or 18789)'
complete -c barnacle -n '__fish_barnacle_using_command channels' -l token -r -d 'shared token (default: the configuration\'s, else the token file\'s); others can see it in the process list, so prefer BARNACLE_TOKEN'
complete -c barnacle -n '__fish_barnacle_using_command channels' -l password -r -d 'shared password, for a gateway with a password'
complete -c barnacle -n '__fish_barnacle_using_command channels' -l config -r -d 'the gateway\'s configuration file, for port and secret'
complete -c barnacle -n '__fish_barnacle_using_command channels' -l state-dir -r -d 'the gateway\'s state directory, for the token file'
complete -c barnacle -n '__fish_barnacle_using_command channels' -l timeout -r -d 'how many seconds to wait for an answer; 0.5 is possible'
complete -c barnacle -n '__fish_barnacle_using_command audit' -f -l help -d 'display usage information'
complete -c barnacle -n '__fish_barnacle_using_command audit' -f -l number -s n -r -d 'how many calls (default: 30)'
complete -c barnacle -n '__fish_barnacle_using_command audit' -f -l tool -r -d 'only calls of this tool'
complete -c barnacle -n '__fish_barnacle_using_command audit' -f -l session -r -d 'only calls of this conversation'
complete -c barnacle -n '__fish_barnacle_using_command audit' -f -l json -d 'print the gateway\'s answer as JSON'
complete -c barnacle -n '__fish_barnacle_using_command audit' -f -l url -r -d 'where the gateway is: ws:// or wss:// (default: this machine, port of the configuration or 18789)'
complete -c barnacle -n '__fish_barnacle_using_command audit' -f -l token -r -d 'shared token (default: the configuration\'s, else the token file\'s); others can see it in the process list, so prefer BARNACLE_TOKEN'
complete -c barnacle -n '__fish_barnacle_using_command audit' -f -l password -r -d 'shared password, for a gateway with a password'
complete -c barnacle -n '__fish_barnacle_using_command audit' -f -l config -r -d 'the gateway\'s configuration file, for port and secret'
complete -c barnacle -n '__fish_barnacle_using_command audit' -f -l state-dir -r -d 'the gateway\'s state directory, for the token file'
complete -c barnacle -n '__fish_barnacle_using_command audit' -f -l timeout -r -d 'how many seconds to wait for an answer; 0.5 is possible'
complete -c barnacle -n '__fish_barnacle_using_command call' -l help -d 'display usage information'
complete -c barnacle -n '__fish_barnacle_using_command call' -l list -d 'list every method, who may call it and what it does; asks no gateway'
complete -c barnacle -n '__fish_barnacle_using_command call' -l compact -d 'print one line, also on a terminal'
complete -c barnacle -n '__fish_barnacle_using_command call' -l first -d 'print the first answer of a method that answers twice'
complete -c barnacle -n '__fish_barnacle_using_command call' -l url -r -d 'where the gateway is: ws:// or wss:// (default: this machine, port of the configuration or 18789)'
complete -c barnacle -n '__fish_barnacle_using_command call' -l token -r -d 'shared token (default: the configuration\'s, else the token file\'s); others can see it in the process list, so prefer BARNACLE_TOKEN'
complete -c barnacle -n '__fish_barnacle_using_command call' -l password -r -d 'shared password, for a gateway with a password'
complete -c barnacle -n '__fish_barnacle_using_command call' -l config -r -d 'the gateway\'s configuration file, for port and secret'
complete -c barnacle -n '__fish_barnacle_using_command call' -l state-dir -r -d 'the gateway\'s state directory, for the token file'
complete -c barnacle -n '__fish_barnacle_using_command call' -l timeout -r -d 'how many seconds to wait for an answer; 0.5 is possible'
complete -c barnacle -n '__fish_barnacle_using_command service' -l help -d 'display usage information'
complete -c barnacle -n '__fish_barnacle_using_command service' -l user -d 'a service of your own, without root, instead of the machine\'s'
complete -c barnacle -n '__fish_barnacle_using_command service' -l now -d 'start it, now and at boot'
complete -c barnacle -n '__fish_barnacle_using_command doctor' -f -l help -d 'display usage information'
complete -c barnacle -n '__fish_barnacle_using_command doctor' -f -l fix -d 'mend what can be mended safely'
complete -c barnacle -n '__fish_barnacle_using_command doctor' -f -l json -d 'print the findings as JSON'
complete -c barnacle -n '__fish_barnacle_using_command doctor' -f -l url -r -d 'where the gateway is: ws:// or wss:// (default: this machine, port of the configuration or 18789)'
complete -c barnacle -n '__fish_barnacle_using_command doctor' -f -l token -r -d 'shared token (default: the configuration\'s, else the token file\'s); others can see it in the process list, so prefer BARNACLE_TOKEN'
complete -c barnacle -n '__fish_barnacle_using_command doctor' -f -l password -r -d 'shared password, for a gateway with a password'
complete -c barnacle -n '__fish_barnacle_using_command doctor' -f -l config -r -d 'the gateway\'s configuration file, for port and secret'
complete -c barnacle -n '__fish_barnacle_using_command doctor' -f -l state-dir -r -d 'the gateway\'s state directory, for the token file'
complete -c barnacle -n '__fish_barnacle_using_command doctor' -f -l timeout -r -d 'how many seconds to wait for an answer; 0.5 is possible'
complete -c barnacle -n '__fish_barnacle_using_command logs' -f -l help -d 'display usage information'
complete -c barnacle -n '__fish_barnacle_using_command logs' -f -l follow -s f -d 'go on with what comes'
complete -c barnacle -n '__fish_barnacle_using_command logs' -f -l lines -s n -r -d 'how many lines to begin with (default: 50)'
complete -c barnacle -n '__fish_barnacle_using_command logs' -f -l level -r -d 'least important level that is shown (default: all that was written)'
complete -c barnacle -n '__fish_barnacle_using_command logs' -f -l json -d 'print the lines as they are in the file'
complete -c barnacle -n '__fish_barnacle_using_command logs' -f -l url -r -d 'where the gateway is: ws:// or wss:// (default: this machine, port of the configuration or 18789)'
complete -c barnacle -n '__fish_barnacle_using_command logs' -f -l token -r -d 'shared token (default: the configuration\'s, else the token file\'s); others can see it in the process list, so prefer BARNACLE_TOKEN'
complete -c barnacle -n '__fish_barnacle_using_command logs' -f -l password -r -d 'shared password, for a gateway with a password'
complete -c barnacle -n '__fish_barnacle_using_command logs' -f -l config -r -d 'the gateway\'s configuration file, for port and secret'
complete -c barnacle -n '__fish_barnacle_using_command logs' -f -l state-dir -r -d 'the gateway\'s state directory, for the token file'
complete -c barnacle -n '__fish_barnacle_using_command logs' -f -l timeout -r -d 'how many seconds to wait for an answer; 0.5 is possible'
complete -c barnacle -n '__fish_barnacle_using_command backup' -l help -d 'display usage information'
complete -c barnacle -n '__fish_barnacle_using_command backup' -l config -r -d 'the gateway\'s configuration file'
complete -c barnacle -n '__fish_barnacle_using_command backup' -l state-dir -r -d 'the gateway\'s state directory'
complete -c barnacle -n '__fish_barnacle_using_command restore' -l help -d 'display usage information'
complete -c barnacle -n '__fish_barnacle_using_command restore' -l dry-run -d 'check it and tell what is in it, but change nothing'
complete -c barnacle -n '__fish_barnacle_using_command restore' -l config -r -d 'where the configuration file goes'
complete -c barnacle -n '__fish_barnacle_using_command restore' -l state-dir -r -d 'where the state goes'
complete -c barnacle -n '__fish_barnacle_using_command import' -l help -d 'display usage information'
complete -c barnacle -n '__fish_barnacle_using_command import' -l apply -d 'do it'
complete -c barnacle -n '__fish_barnacle_using_command import' -l merge -d 'add to a state that is there already; what it has stays as it is'
complete -c barnacle -n '__fish_barnacle_using_command import' -l config -r -d 'where the configuration file goes'
complete -c barnacle -n '__fish_barnacle_using_command import' -l state-dir -r -d 'where the state goes'
complete -c barnacle -n '__fish_barnacle_using_command update' -l help -d 'display usage information'
complete -c barnacle -n '__fish_barnacle_using_command update' -l check -d 'only say what is in place and whether the file would do'
complete -c barnacle -n '__fish_barnacle_using_command update' -l url -r -d 'where the gateway is: ws:// or wss:// (default: this machine, port of the configuration or 18789)'
complete -c barnacle -n '__fish_barnacle_using_command update' -l token -r -d 'shared token (default: the configuration\'s, else the token file\'s); others can see it in the process list, so prefer BARNACLE_TOKEN'
complete -c barnacle -n '__fish_barnacle_using_command update' -l password -r -d 'shared password, for a gateway with a password'
complete -c barnacle -n '__fish_barnacle_using_command update' -l config -r -d 'the gateway\'s configuration file, for port and secret'
complete -c barnacle -n '__fish_barnacle_using_command update' -l state-dir -r -d 'the gateway\'s state directory, for the token file'
complete -c barnacle -n '__fish_barnacle_using_command update' -l timeout -r -d 'how many seconds to wait for an answer; 0.5 is possible'
