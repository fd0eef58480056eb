//! Moving in from a directory as the original writes it.
#![allow(clippy::disallowed_methods, reason = "a test makes the files that it looks at")]

use serde_json::{Value, json};

use super::*;

struct Bench {
    dir: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

const CONFIG: &str = "{\n  // the kitchen\n  gateway: { port: 18999, bind: 'tailnet', auth: { token: '${MY_TOKEN}' } },\n  \
                      agents: { list: [{ id: 'main', sandbox: { mode: 'off' }, odd: 1 }] },\n  nonsense: { a: 1 },\n}\n";

impl Bench {
    fn new(test: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("barnacle-import-{}-{test}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let bench = Self { dir };
        let old = bench.old();
        bench.put(".clawdbot/clawdbot.json", CONFIG);
        bench.put(".clawdbot/.env", "# keys\nMY_TOKEN=\"a-long-secret-token-of-its-own\"\n");
        bench.put(
            ".clawdbot/devices/paired.json",
            &json!({"d1": {"deviceId": "d1", "publicKey": "k", "roles": ["node"], "createdAtMs": 1, "approvedAtMs": 1,
                "tokens": {"node": {"token": "t", "role": "node", "scopes": [], "createdAtMs": 1}}}})
            .to_string(),
        );
        let file = old.join("agents/main/sessions/s1-topic-4.jsonl");
        bench.put(
            ".clawdbot/agents/main/sessions/sessions.json",
            &json!({"agent:main:main": {"sessionId": "s1", "updatedAt": 5, "sessionFile": file, "skillsSnapshot": {"prompt": "x"}}})
                .to_string(),
        );
        bench.put(".clawdbot/agents/main/sessions/s1-topic-4.jsonl", "{\"type\":\"session\"}\n");
        bench.put(".clawdbot/agents/main/sessions/sessions.json.lock", "{}");
        bench.put(".clawdbot/cron/jobs.json", "{\"version\":1,\"jobs\":[{\"id\":\"j1\"}]}");
        bench.put(".clawdbot/cron/runs/j1.jsonl", "{}\n");
        bench.put(".clawdbot/skills/weather/SKILL.md", "---\nname: weather\n---\n");
        bench.put(".clawdbot/settings/tts.json", "{\"tts\":{\"auto\":\"always\"}}");
        bench.put(".clawdbot/nodes/paired.json", "{broken");
        bench.put(".clawdbot/identity/device.json", "{}");
        bench.put("clawd/AGENTS.md", "hello");
        bench
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn old(&self) -> PathBuf {
        self.dir.join(".clawdbot")
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.join(name)).unwrap_or_default()
    }

    fn plan(&self, merge: bool) -> Plan {
        let places = Places { config_file: self.dir.join("new/barnacle.json"), state_dir: self.dir.join("new/state") };
        let env = BTreeMap::from([("HOME".to_owned(), self.dir.display().to_string())]);
        plan(&find(None, &env).unwrap(), &places, &env, merge).unwrap()
    }

    /// Every file of the other directory with its content.
    fn source(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let found = tree::walk(&self.old(), 1000, |_| true).unwrap();
        let files = found.into_iter().filter(|(_, meta)| meta.kind == Kind::File);
        files.map(|(path, _)| (path.clone(), std::fs::read(self.old().join(&path)).unwrap())).collect()
    }
}

fn told(plan: &Plan, part: &str) -> bool {
    plan.items.iter().any(|item| format!("{item:?}").contains(part))
}

#[test]
fn a_plan_changes_nothing_and_says_what_is_taken_and_what_is_not() {
    let bench = Bench::new("plan");
    let before = bench.source();
    let plan = bench.plan(false);
    assert!(!bench.dir.join("new").exists());
    assert_eq!(bench.source(), before);
    for part in [
        "Take(\"configuration",
        "Take(\"1 sessions of agent main",
        "Take(\"1 paired devices",
        "Take(\"1 jobs",
        "Take(\"conversations of agent main: 1",
        "Take(\"skills: 1",
        "Note(\"the workspace stays in",
        "Note(\"from its .env into env.vars of the configuration: MY_TOKEN",
        "Note(\"nonsense: ",
        "Not(\"configuration: gateway.bind",
        "Not(\"paired nodes: nodes/paired.json can't be read",
        "Not(\"identity: ",
        "port 18999",
    ] {
        assert!(told(&plan, part), "{part} is not in {:#?}", plan.items);
    }
}

#[test]
fn what_was_moved_loads_and_moving_again_has_nothing_to_do() {
    let bench = Bench::new("apply");
    let before = bench.source();
    bench.plan(false).apply().unwrap();
    assert_eq!(bench.source(), before);
    let config = bench.text("new/barnacle.json");
    assert!(config.contains("// the kitchen") && !config.contains("tailnet"), "{config}");
    assert!(config.contains("clawd") && config.contains("MY_TOKEN"), "{config}");
    let (read, _) = crate::config::Config::parse(&config, "c", &BTreeMap::new()).unwrap();
    assert_eq!(read.gateway.port, 18999);
    assert!(read.gateway.auth.token.unwrap().matches("a-long-secret-token-of-its-own"));
    let sessions: Value = serde_json::from_str(&bench.text("new/state/agents/main/sessions/sessions.json")).unwrap();
    assert_eq!(
        sessions["agent:main:main"],
        json!({"sessionId": "s1", "updatedAt": 5, "sessionFile": "s1-topic-4.jsonl"})
    );
    assert!(!bench.dir.join("new/state/agents/main/sessions/sessions.json.lock").exists());
    let devices: Value = serde_json::from_str(&bench.text("new/state/devices/paired.json")).unwrap();
    assert_eq!(devices["d1"]["tokens"]["node"]["token"], "t");
    assert_eq!(tree::meta(&bench.dir.join("new/state/devices/paired.json")).unwrap().mode, 0o600);

    let again = bench.plan(false);
    assert!(again.is_done() && !again.has_conflicts(), "{:#?}", again.items);
}

#[test]
fn what_is_there_already_is_refused_or_kept_beside_what_comes() {
    let bench = Bench::new("merge");
    bench.put("new/state/devices/paired.json", "{\"d2\":{\"deviceId\":\"d2\"},\"d1\":{\"deviceId\":\"mine\"}}");
    bench.put("new/state/cron/jobs.json", "{\"version\":1,\"jobs\":[{\"id\":\"own\"}]}");
    let refused = bench.plan(false);
    assert!(refused.has_conflicts() && refused.apply().is_err());
    assert!(!bench.dir.join("new/state/agents").exists());
    bench.plan(true).apply().unwrap();
    let devices: Value = serde_json::from_str(&bench.text("new/state/devices/paired.json")).unwrap();
    assert_eq!((&devices["d1"]["deviceId"], devices.as_object().unwrap().len()), (&json!("mine"), 2));
    let jobs: Value = serde_json::from_str(&bench.text("new/state/cron/jobs.json")).unwrap();
    assert_eq!(jobs["jobs"], json!([{"id": "own"}, {"id": "j1"}]));
    assert!(bench.plan(true).is_done());
}

#[test]
fn keys_of_login_profiles_come_along_and_other_logins_are_named() {
    let bench = Bench::new("keys");
    bench.put(
        ".clawdbot/agents/main/agent/auth-profiles.json",
        &json!({"version": 1, "profiles": {
            "anthropic:default": {"type": "api_key", "provider": "anthropic", "key": "sk-ant-key-of-the-profile"},
            "openai-codex:me": {"type": "oauth", "provider": "openai-codex", "access": "x"},
        }})
        .to_string(),
    );
    let plan = bench.plan(false);
    assert!(told(&plan, "login profile openai-codex:me"), "{:#?}", plan.items);
    plan.apply().unwrap();
    let config = bench.text("new/barnacle.json");
    let (read, _) = crate::config::Config::parse(&config, "c", &BTreeMap::new()).unwrap();
    let (provider, _) = read.resolve("anthropic/claude-opus-4-5").unwrap();
    assert!(provider.api_key.as_ref().unwrap().matches("sk-ant-key-of-the-profile"));
}

#[test]
fn people_who_were_let_in_by_a_code_need_none_again() {
    let bench = Bench::new("people");
    bench.put(".clawdbot/clawdbot.json", "{ channels: { telegram: { botToken: '1:x', allowFrom: [7] } } }");
    bench.put(".clawdbot/credentials/telegram-allowFrom.json", "{\"version\":1,\"allowFrom\":[\"7\",\"8\"]}");
    bench.put(".clawdbot/credentials/discord-allowFrom.json", "{\"version\":1,\"allowFrom\":[\"9\"]}");
    let plan = bench.plan(false);
    assert!(told(&plan, "1 people who were let in: channels.telegram.allowFrom"), "{:#?}", plan.items);
    plan.apply().unwrap();
    let config =
        crate::config::Config::read(&bench.text("new/barnacle.json"), "c", &BTreeMap::new(), &|_| Err(String::new()));
    assert_eq!(config.parsed["channels"], json!({"telegram": {"botToken": "1:x", "allowFrom": [7, "8"]}}));
}

#[test]
fn a_configuration_that_cannot_be_read_at_all_is_left_and_the_rest_is_taken() {
    let bench = Bench::new("broken");
    bench.put(".clawdbot/clawdbot.json", "{ gateway: ");
    let plan = bench.plan(false);
    assert!(told(&plan, "Not(\"configuration: clawdbot.json:1:"), "{:#?}", plan.items);
    plan.apply().unwrap();
    assert!(bench.dir.join("new/state/devices/paired.json").exists());
    assert!(!bench.dir.join("new/barnacle.json").exists());
}
