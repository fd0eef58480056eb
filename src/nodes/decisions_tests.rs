//! That only what was shown may run, and only as often as was allowed.

use serde_json::{Value, json};

use super::*;

fn request(command: &str) -> Request {
    let none = || Text(None);
    Request {
        command: command.into(),
        cwd: none(),
        host: Text(Some("node".into())),
        security: none(),
        ask: none(),
        agent_id: Text(Some("main".into())),
        resolved_path: none(),
        session_key: none(),
        argv: None,
        node_id: None,
    }
}

fn run(params: Value) -> Option<Command> {
    Command::read(params.as_object().unwrap())
}

fn granted(request: Request, verdict: Verdict) -> Decisions {
    let decisions = Decisions::default();
    let waiting = decisions.ask("a".into(), request, 1_000, 5_000).unwrap();
    decisions.decide(&decisions.take("a").unwrap(), verdict, 0);
    assert_eq!(waiting.verdict.get(), Some(Some(verdict)));
    decisions
}

#[test]
fn a_permission_for_once_is_used_up() {
    let decisions = granted(request("ls /srv"), Verdict::AllowOnce);
    let command = run(json!({"command": ["ls", "/srv"]})).unwrap();
    assert_eq!(decisions.redeem("n", &command, 1), Some(Verdict::AllowOnce));
    assert_eq!(decisions.redeem("n", &command, 1), None);
}

#[test]
fn a_lasting_permission_stays_with_the_node_that_used_it_until_its_time_is_up() {
    let decisions = granted(request("ls /srv"), Verdict::AllowAlways);
    let command = run(json!({"command": ["ls", "/srv"]})).unwrap();
    assert_eq!(decisions.redeem("n", &command, 1), Some(Verdict::AllowAlways));
    assert_eq!(decisions.redeem("other", &command, 1), None);
    assert_eq!(decisions.redeem("n", &command, APPROVAL_USE_MS - 1), Some(Verdict::AllowAlways));
    assert_eq!(decisions.redeem("n", &command, APPROVAL_USE_MS), None);
}

#[test]
fn a_denied_command_is_never_covered() {
    let decisions = granted(request("ls"), Verdict::Deny);
    assert_eq!(decisions.redeem("n", &run(json!({"command": ["ls"]})).unwrap(), 1), None);
}

#[test]
fn only_the_command_that_was_shown_is_covered() {
    let shown = Request { cwd: Text(Some("/srv".into())), session_key: Text(Some("main".into())), ..request("ls -l") };
    let covers = |params: Value| run(params).is_some_and(|command| binding::covers(&shown, "n", &command));
    assert!(covers(json!({"command": ["ls", "-l"], "cwd": "/srv"})));
    assert!(covers(json!({"command": ["/bin/sh", "-lc", "ls -l"], "rawCommand": "ls -l", "cwd": "/srv", "env": {}})));
    assert!(covers(json!({"command": ["cmd.exe", "/d", "/s", "/c", "ls -l"], "cwd": "/srv", "agentId": "main"})));
    assert!(covers(json!({"command": ["ls", "-l"], "cwd": "/srv", "sessionKey": "main", "agentId": null})));
    for wrong in [
        json!({"command": ["ls", "-l"]}),
        json!({"command": ["ls", "-l"], "cwd": "/etc"}),
        json!({"command": ["ls", "-l", "/"], "cwd": "/srv"}),
        json!({"command": ["ls -l"], "cwd": "/srv"}),
        json!({"command": ["/tmp/sh", "-lc", "ls -l"], "cwd": "/srv"}),
        json!({"command": ["/bin/sh", "-lc", "rm -r ."], "rawCommand": "ls -l", "cwd": "/srv"}),
        json!({"command": ["ls", "-l"], "rawCommand": "other", "cwd": "/srv"}),
        json!({"command": ["ls", "-l"], "cwd": "/srv", "env": {"PATH": "/tmp"}}),
        json!({"command": ["ls", "-l"], "cwd": "/srv", "env": "PATH=/tmp"}),
        json!({"command": ["ls", "-l"], "cwd": "/srv", "agentId": "other"}),
        json!({"command": ["ls", "-l"], "cwd": "/srv", "sessionKey": "other"}),
        json!({"command": ["ls", "-l"], "cwd": 5}),
        json!({"command": "ls -l", "cwd": "/srv"}),
        json!({"command": [], "cwd": "/srv"}),
    ] {
        assert!(!covers(wrong.clone()), "{wrong}");
    }
}

#[test]
fn given_arguments_and_a_given_node_hold_exactly() {
    let argv = vec!["printf".to_owned(), "a b".to_owned()];
    let shown = Request { argv: Some(argv), node_id: Some("n".into()), ..request("printf 'a b'") };
    let command = run(json!({"command": ["printf", "a b"]})).unwrap();
    assert!(binding::covers(&shown, "n", &command) && !binding::covers(&shown, "m", &command));
    let other = run(json!({"command": ["printf", "a", "b"]})).unwrap();
    assert!(!binding::covers(&shown, "n", &other));
    let elsewhere = Request { host: Text(Some("gateway".into())), ..request("ls") };
    assert!(!binding::covers(&elsewhere, "n", &run(json!({"command": ["ls"]})).unwrap()));
}

#[test]
fn the_digest_changes_with_everything_that_it_binds() {
    let base = request("ls");
    let same = binding::hash(&base.clone());
    assert_eq!(binding::hash(&base), same);
    for other in [
        Request { command: "ls ".into(), ..base.clone() },
        Request { cwd: Text(Some("/".into())), ..base.clone() },
        Request { host: Text(None), ..base.clone() },
        Request { agent_id: Text(None), ..base.clone() },
        Request { resolved_path: Text(Some("/bin/ls".into())), ..base.clone() },
        Request { session_key: Text(Some("main".into())), ..base.clone() },
        Request { argv: Some(vec!["ls".into()]), ..base.clone() },
        Request { node_id: Some("n".into()), ..base },
    ] {
        assert_ne!(binding::hash(&other), same);
    }
}

#[test]
fn waiting_requests_are_bounded_and_an_id_waits_once() {
    let decisions = Decisions::default();
    for number in 0..APPROVALS_PENDING {
        decisions.ask(number.to_string(), request("x"), 0, 1).unwrap();
    }
    assert_eq!(decisions.ask("0".into(), request("x"), 0, 1).unwrap_err(), Refused::SameId);
    assert_eq!(decisions.ask("y".into(), request("x"), 0, 1).unwrap_err(), Refused::Full);
    for _ in 0..2 * APPROVALS_GRANTED {
        let waiting = decisions.take("0").unwrap();
        decisions.decide(&waiting, Verdict::AllowOnce, 0);
        decisions.ask("0".into(), request("x"), 0, 1).unwrap();
    }
    assert_eq!(decisions.granted.borrow().len(), APPROVALS_GRANTED);
}

#[test]
fn an_expired_request_ends_without_a_decision_and_its_successor_is_left_alone() {
    let decisions = Decisions::default();
    let first = decisions.ask("a".into(), request("x"), 0, 1).unwrap();
    decisions.expire(&first);
    assert_eq!(first.verdict.get(), Some(None));
    let second = decisions.ask("a".into(), request("x"), 0, 1).unwrap();
    decisions.expire(&first);
    assert!(second.verdict.get().is_none() && decisions.take("a").is_some() && decisions.is_empty());
}
