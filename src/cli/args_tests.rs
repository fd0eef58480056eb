use super::*;

fn parsed(line: &[&str]) -> Parsed {
    parse(&line.iter().map(OsString::from).collect::<Vec<_>>())
}

fn command(line: &[&str]) -> Command {
    match parsed(line) {
        Parsed::Run(command) => command,
        other => panic!("{line:?}: {other:?}"),
    }
}

fn shown(line: &[&str]) -> String {
    match parsed(line) {
        Parsed::Show(text) => text,
        other => panic!("{line:?}: {other:?}"),
    }
}

fn mistaken(line: &[&str]) -> String {
    match parsed(line) {
        Parsed::Mistake(text) => text,
        other => panic!("{line:?}: {other:?}"),
    }
}

#[test]
fn call_takes_a_method_params_and_options_in_any_order() {
    let Command::Call(call) = command(&["call", "--timeout=0.5", "health", "--first", r#"{"a":1}"#, "--url", "ws://x"])
    else {
        panic!()
    };
    assert_eq!(call.words, ["health", r#"{"a":1}"#]);
    assert!(call.first && !call.compact);
    let reach = call.reach();
    assert_eq!((reach.url.as_deref(), reach.timeout), (Some("ws://x"), Some(Duration::from_millis(500))));
    let Command::Call(call) = command(&["call", "agent", "-", "--compact"]) else { panic!() };
    assert!(call.words.last().is_some_and(|params| params == "-") && call.compact);
}

#[test]
fn chat_takes_words_as_one_message_and_knows_thinking_levels() {
    let Command::Chat(chat) = command(&["chat", "what", "is", "--thinking", "max", "up"]) else { panic!() };
    assert_eq!((chat.message.join(" ").as_str(), chat.session.as_str()), ("what is up", "main"));
    assert_eq!(chat.thinking, Some("high"));
    let Command::Chat(chat) = command(&["chat", "--session", "s", "please", "help", "--", "-5", "--x=y"]) else {
        panic!()
    };
    assert_eq!(chat.message.join(" "), "please help -5 --x=y");
    let Command::Chat(chat) = command(&["chat"]) else { panic!() };
    assert!(chat.message.is_empty());
}

#[test]
fn run_health_and_status_take_their_options() {
    let Command::Run(run) = command(&["run", "--port", "1", "--bind", "lan", "--config", "c", "--state-dir", "s"])
    else {
        panic!()
    };
    assert_eq!((run.port, run.bind.as_deref(), run.token), (Some(1), Some("lan"), None));
    assert!(matches!(command(&["health", "--json"]), Command::Health(Health { json: true, .. })));
    assert!(matches!(command(&["status"]), Command::Status(Status { json: false, .. })));
}

#[test]
fn mistakes_are_one_line_that_says_where_to_read_on() {
    for (line, part) in [
        (&["cal"][..], "cal"),
        (&["call", "x", "--timeout", "0"], "seconds"),
        (&["call", "x", "--timeout", "nan"], "seconds"),
        (&["chat", "--thinking", "lots"], "off, minimal"),
        (&["health", "--jsn"], "--jsn"),
        (&["run", "--port", "99999"], "99999"),
        (&["run", "--port"], "--port"),
        (&["--verbose"], "--verbose"),
    ] {
        let text = mistaken(line);
        assert!(text.contains(part) && text.contains("--help") && !text.contains('\n'), "{line:?}: {text}");
    }
    assert!(mistaken(&["health", "--jsn"]).contains("barnacle health --help"));
}

#[test]
fn every_help_text_teaches_by_example_and_lists_all_exit_codes() {
    for line in [&["--help"][..], &["help"], &[], &["-h"]] {
        let text = shown(line);
        for part in ["barnacle run", "barnacle chat \"hello\"", "barnacle health", "BARNACLE_URL"] {
            assert!(text.contains(part), "{line:?} lacks {part}: {text}");
        }
    }
    for name in ["run", "call", "chat", "devices", "health", "nodes", "status"] {
        for line in [&["help", name][..], &[name, "--help"], &["--help", name], &[name, "-h"]] {
            let text = shown(line);
            assert!(text.starts_with(&format!("Usage: barnacle {name} ")), "{line:?}: {text}");
            for part in ["Examples:", "Environment:", "BARNACLE_TOKEN", "BARNACLE_STATE_DIR", "Exit codes:", "  78  "] {
                assert!(text.contains(part), "{line:?} lacks {part}: {text}");
            }
            assert_eq!(text.contains("BARNACLE_URL"), name != "run", "{line:?}");
        }
    }
    assert!(shown(&["help", "call"]).contains(r#"'{"limit":5}'"#));
}

#[test]
fn the_version_is_one_line() {
    for line in [&["--version"][..], &["-V"]] {
        assert_eq!(shown(line), format!("barnacle {}\n", crate::VERSION));
    }
}
