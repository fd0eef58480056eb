//! The wizard as a client sees it, without a gateway.

use super::*;
use crate::config::Config;
use std::collections::BTreeMap;

fn facts(text: &str) -> Facts {
    let config = Config::parse(text, "f", &BTreeMap::new()).unwrap().0;
    let parsed = Config::read(text, "f", &BTreeMap::new(), &crate::config::include::none).parsed;
    Facts { new_token: "tok-new".to_owned(), ..Facts::of(&config, &parsed) }
}

/// Answers in order; every step before the last answer has to be of that type.
fn play(text: &str, answers: &[(&str, Value)]) -> Map<String, Value> {
    let wizards = Wizards::default();
    let (id, mut step) = wizards.start("w".to_owned(), facts(text), 0).unwrap();
    for (index, (kind, answer)) in answers.iter().enumerate() {
        assert_eq!(step.r#type, *kind, "answer {index}: {step:?}");
        match wizards.next(Some(&id), Some((&step.id, answer.clone())), 0).unwrap() {
            Next::Step(next) => step = *next,
            Next::Write(patch) => {
                assert_eq!(index + 1, answers.len());
                return patch;
            }
            Next::Done => return Map::new(),
        }
    }
    panic!("the wizard still asks: {step:?}")
}

#[test]
fn a_provider_a_token_and_a_channel_become_one_patch() {
    let patch = play(
        "{}",
        &[
            ("note", Value::Null),
            ("select", json!("anthropic")),
            ("text", json!("sk-ant-test")),
            ("select", json!("anthropic/claude-haiku-4-5")),
            ("select", json!("token")),
            ("note", Value::Null),
            ("select", json!("slack")),
            ("text", json!("xoxb-1")),
            ("text", json!("xapp-1")),
            ("note", Value::Null),
            ("note", Value::Null),
            ("confirm", json!(true)),
        ],
    );
    assert_eq!(
        Value::Object(patch.clone()),
        json!({
            "models": {"providers": {"anthropic": {"apiKey": "sk-ant-test"}}},
            "agents": {"defaults": {"model": {"primary": "anthropic/claude-haiku-4-5"}}},
            "gateway": {"auth": {"mode": "token", "token": "tok-new"}},
            "channels": {"slack": {"enabled": true, "botToken": "xoxb-1", "appToken": "xapp-1"}},
        })
    );
    assert!(Config::parse(&Value::Object(patch).to_string(), "f", &BTreeMap::new()).is_ok());
}

#[test]
fn a_server_on_the_own_machine_is_set_up_with_its_address_and_model() {
    let local = |text: &str, provider: &str| {
        let answers = [
            ("note", Value::Null),
            ("select", json!(provider)),
            ("text", json!("http://127.0.0.1:8080/v1/")),
            ("text", json!("qwen3:8b")),
            ("select", json!("password")),
            ("text", json!("herring-99")),
            ("select", json!("skip")),
            ("note", Value::Null),
            ("confirm", json!("yes")),
        ];
        Value::Object(play(text, &answers))
    };
    let own = local("{agents:{defaults:{model:'a/b',models:{'a/b':{}}}}}", "local");
    assert_eq!(
        own["models"]["providers"]["local"],
        json!({"baseUrl": "http://127.0.0.1:8080/v1", "api": "openai-completions", "models": [{"id": "qwen3:8b"}]})
    );
    assert_eq!(own["agents"]["defaults"], json!({"model": "local/qwen3:8b", "models": {"local/qwen3:8b": {}}}));
    assert_eq!(own["gateway"]["auth"], json!({"mode": "password", "password": "herring-99"}));
    let ollama = local("{models:{providers:{ollama:{models:[{id:'x'}]}}}}", "ollama");
    assert_eq!(ollama["models"]["providers"]["ollama"], json!({"baseUrl": "http://127.0.0.1:8080/v1"}));
    assert!(Config::parse(&ollama.to_string(), "f", &BTreeMap::new()).is_ok());
}

#[test]
fn a_wrong_answer_repeats_the_step_and_says_why() {
    let wizards = Wizards::default();
    let (_, step) = wizards.start("w".to_owned(), facts("{}"), 0).unwrap();
    // The guide's own example: any answer to a note will do.
    let Next::Step(step) = wizards.next(None, Some((&step.id, json!("option-1"))), 0).unwrap() else { panic!() };
    for wrong in [json!("nobody"), json!(5), Value::Null, json!(["anthropic"])] {
        let Next::Step(again) = wizards.next(None, Some((&step.id, wrong)), 0).unwrap() else { panic!() };
        assert_eq!(again.id, step.id);
        let message = again.message.unwrap();
        assert!(message.starts_with("expected one of: anthropic") && message.ends_with("Who answers?"), "{message}");
    }
    let Next::Step(key) = wizards.next(None, Some((&step.id, json!("openai"))), 0).unwrap() else { panic!() };
    assert_eq!((key.sensitive, key.title.as_deref()), (Some(true), Some("API key")));
    assert!(!key.message.unwrap().contains("expected"));
    assert_eq!(wizards.next(None, Some((&step.id, json!("x"))), 0).unwrap_err(), NoWizard::OtherStep);
    assert_eq!(wizards.next(Some("other"), None, 0).unwrap_err(), NoWizard::NotFound);
}

#[test]
fn there_is_one_wizard_and_a_forgotten_one_makes_room() {
    let wizards = Wizards::default();
    assert_eq!(wizards.status(None), Err(NoWizard::NotFound));
    wizards.start("a".to_owned(), facts("{}"), 0).unwrap();
    assert_eq!(wizards.start("b".to_owned(), facts("{}"), WIZARD_IDLE_MS - 1).unwrap_err(), NoWizard::Running);
    wizards.next(None, None, WIZARD_IDLE_MS - 1).unwrap();
    assert_eq!(wizards.start("b".to_owned(), facts("{}"), WIZARD_IDLE_MS + 5).unwrap_err(), NoWizard::Running);
    wizards.start("b".to_owned(), facts("{}"), 3 * WIZARD_IDLE_MS).unwrap();
    assert_eq!(wizards.status(Some("a")), Err(NoWizard::NotFound));
    wizards.cancel(Some("b")).unwrap();
    assert_eq!(wizards.cancel(None), Err(NoWizard::NotFound));
}

#[test]
fn nothing_chosen_or_not_confirmed_writes_nothing() {
    let none = [
        ("note", Value::Null),
        ("select", json!("skip")),
        ("select", json!("skip")),
        ("select", json!("skip")),
        ("note", Value::Null),
        ("confirm", json!(true)),
    ];
    assert!(play("{}", &none).is_empty());
    let mut refused = none.clone();
    refused[2].1 = json!("token");
    let refused = [&refused[..3], &[("note", Value::Null)], &none[3..5], &[("confirm", json!(false))]].concat();
    assert!(play("{}", &refused).is_empty());
}

/// A wizard at its last step, with these two answers; at the password's when that is no good.
fn at_the_end(wizards: &Wizards, key: &str, password: &str) -> Step {
    let (_, mut step) = wizards.start("w".to_owned(), facts("{}"), 0).unwrap();
    let (model, skip) = (json!("anthropic/claude-haiku-4-5"), json!("skip"));
    for answer in [json!(0), json!("anthropic"), json!(key), model, json!("password"), json!(password), skip, json!(0)]
    {
        let Next::Step(next) = wizards.next(None, Some((&step.id, answer)), 0).unwrap() else { panic!() };
        if next.id == step.id {
            return *next;
        }
        step = *next;
    }
    step
}

#[test]
fn an_answer_that_looks_like_a_variable_is_written_as_it_stands() {
    let wizards = Wizards::default();
    let step = at_the_end(&wizards, "sk-${NOPE}", "a${B}-herring");
    let Next::Write(patch) = wizards.next(None, Some((&step.id, json!(true))), 0).unwrap() else { panic!() };
    assert_eq!(patch["models"]["providers"]["anthropic"]["apiKey"], "sk-$${NOPE}");
    let config = Config::parse(&Value::Object(patch).to_string(), "f", &BTreeMap::new()).unwrap().0;
    assert_eq!(config.gateway.auth.password.unwrap().expose(), "a${B}-herring");
}

#[test]
fn a_weak_password_is_asked_for_again() {
    let wizards = Wizards::default();
    let step = at_the_end(&wizards, "sk-ant-test", "Password");
    assert!(step.message.unwrap().starts_with("choose another password: it is a placeholder"));
    assert_eq!(step.title.as_deref(), Some("Password"));
}

#[test]
fn a_refused_patch_brings_back_the_last_step_with_the_reason() {
    let wizards = Wizards::default();
    let step = at_the_end(&wizards, "sk-ant-test", "herring-99");
    assert!(wizards.refused("too early".to_owned()).is_none());
    let Next::Write(_) = wizards.next(None, Some((&step.id, json!(true))), 0).unwrap() else { panic!() };
    let again = wizards.refused("the disk is full".to_owned()).unwrap();
    assert!(again.message.unwrap().starts_with("the disk is full") && again.r#type == "confirm");
    assert!(matches!(wizards.next(None, Some((&again.id, json!(true))), 0).unwrap(), Next::Write(_)));
}
