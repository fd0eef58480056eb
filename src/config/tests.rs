//! The configuration as a whole: every kind of mistake, and texts that have to load.

use std::collections::BTreeMap;

use super::agents::{Verbose, canonical_id};
use super::gateway::AuthMode;
use super::network::Bind;
use super::session::{Reset, Scope};
use super::*;

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn good(text: &str) -> (Config, Vec<String>) {
    match Config::parse(text, "barnacle.json", &env(&[("HOME", "/home/pi")])) {
        Ok((config, warnings)) => (config, warnings.iter().map(ToString::to_string).collect()),
        Err(problems) => panic!("{text}: {problems:?}"),
    }
}

fn bad(text: &str) -> Vec<String> {
    match Config::parse(text, "barnacle.json", &BTreeMap::new()) {
        Ok(_) => panic!("accepted: {text}"),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn every_kind_of_mistake_is_named_with_file_place_and_key() {
    for (text, expected) in [
        // types and ranges
        ("{gateway:{port:'abc'}}", ":1:16: gateway.port: expected a whole number from 1 to 65535, found \"abc\""),
        ("{gateway:{port:0}}", ":1:16: gateway.port: expected a whole number from 1 to 65535, found 0"),
        ("{gateway:{port:1.5}}", ":1:16: gateway.port: expected a whole number from 1 to 65535, found 1.5"),
        ("{gateway:5}", ":1:10: gateway: expected an object, found a number"),
        ("{agents:{list:{}}}", ":1:15: agents.list: expected a list, found an object"),
        ("{agents:{list:[5]}}", ":1:16: agents.list.0: expected an object, found a number"),
        ("{agents:{list:[{id:'a',default:1}]}}", ":1:32: agents.list.0.default: expected true or false, found 1"),
        ("{session:{scope:'all'}}", ":1:17: session.scope: expected one of `per-sender`, `global`, found \"all\""),
        ("{session:{resetTriggers:['/new',5]}}", ":1:33: session.resetTriggers.1: expected a text, found 5"),
        ("{session:{resetTriggers:'/new'}}", ":1:25: session.resetTriggers: expected a list of texts, found \"/new\""),
        ("{ui:{assistant:{name:null}}}", ":1:22: ui.assistant.name: expected a text, found null"),
        ("{gateway:{auth:{token:12345}}}", ":1:23: gateway.auth.token: expected a secret text, found a number"),
        (
            "{gateway:{auth:{mode:'none'}}}",
            ":1:22: gateway.auth.mode: expected one of `token`, `password`, found \"none\"",
        ),
        ("{gateway:{limits:{maxPayload:1}}}", ":1:30: gateway.limits.maxPayload: expected a whole number from 16384"),
        (
            "{gateway:{limits:{laneQueue:200,runsQueued:5}}}",
            ":1:29: gateway.limits.laneQueue: laneQueue is 200, more than runsQueued",
        ),
        // unknown keys
        (
            "{gateway:{limits:{maxPayloads:1}}}",
            ":1:19: gateway.limits.maxPayloads: unknown key; did you mean `maxPayload`?",
        ),
        ("{gateway:{port:1,port:2}}", ":1:18: gateway.port: this key is given twice"),
        ("{gateway:{$include:'x'}}", ":1:11: this word has to be in quotes"),
        ("{'$include':'x.json'}", ":1:13: $include: x.json: there are no other files here"),
        // meaning
        ("{gateway:{auth:{token:'${NOPE}'}}}", ":1:23: gateway.auth.token: the environment variable NOPE is not set"),
        ("{gateway:{bind:'everywhere'}}", ":1:16: gateway.bind: expected `loopback`, `lan`"),
        ("{gateway:{bind:'tailnet'}}", ":1:16: gateway.bind: `tailnet` is not in this version"),
        ("{gateway:{bind:'custom',customBindHost:'pi'}}", ":1:40: gateway.customBindHost: `custom` needs"),
        ("{gateway:{bind:'lan'}}", ":1:16: gateway.bind: listening beyond this machine needs"),
        (
            "{gateway:{trustedProxies:['10.0.0.0/40']}}",
            ":1:27: gateway.trustedProxies.0: expected an IP address or a network",
        ),
        ("{gateway:{allowedOrigins:['*']}}", ":1:27: gateway.allowedOrigins.0: expected an origin"),
        ("{gateway:{allowedHosts:['a:1']}}", ":1:25: gateway.allowedHosts.0: expected a host name"),
        ("{agents:{defaults:{model:''}}}", ":1:26: agents.defaults.model: expected a model reference"),
        ("{agents:{list:[{name:'x'}]}}", ":1:16: agents.list.0: `id` is missing"),
        ("{agents:{list:[{id:'a'},{id:'A'}]}}", ":1:29: agents.list.1.id: another agent has the id `a` too"),
        (
            "{agent:{timeoutSeconds:5},agents:{defaults:{timeoutSeconds:6}}}",
            ":1:9: agent.timeoutSeconds: also given as",
        ),
        ("{models:{providers:{mine:{}}}}", ":1:26: models.providers.mine: `baseUrl` is missing"),
        ("{models:{providers:{mine:{baseUrl:'pi'}}}}", ":1:35: models.providers.mine.baseUrl: expected an address"),
        ("{models:{providers:{groq:{models:[{}]}}}}", ":1:35: models.providers.groq.models.0: `id` is missing"),
        (
            "{models:{providers:{groq:{models:[{id:'a',input:['smell']}]}}}}",
            ":1:50: models.providers.groq.models.0.input.0: expected `text` or `image`",
        ),
        ("{models:{providers:{groq:{headers:{'a b':'c'}}}}}", ":1:42: models.providers.groq.headers.a b: a header has"),
        (
            "{models:{providers:{groq:{models:[{id:'a',cost:{input:-1}}]}}}}",
            ":1:55: models.providers.groq.models.0.cost.input: expected a number from 0, found -1",
        ),
        // size
        (&format!("{{agents:{{list:[{}]}}}}", "{id:'a'},".repeat(1001)), ":1:15: agents.list: more than 1000 entries"),
        // syntax
        ("{\n  gateway: {\n    port: 0x50,", ":3:12: hexadecimal numbers"),
        ("{gateway:{port:+5}}", ":1:16: numbers are written without a plus sign"),
    ] {
        let found = bad(text);
        assert!(found[0].starts_with(&format!("barnacle.json{expected}")), "{text}\n  {found:?}");
    }
}

#[test]
fn unknown_keys_are_kept_and_reported_with_the_one_that_was_meant() {
    for (text, expected) in [
        ("{gateway:{prot:1}}", ":1:11: gateway.prot: unknown key; did you mean `port`?"),
        ("{port:1}", ":1:2: port: unknown key; did you mean `gateway.port`?"),
        ("{'gateway.port':1}", ":1:2: gateway.port: unknown key"),
        ("{zzz:1}", ":1:2: zzz: unknown key; it is kept and has no effect"),
        ("{gateway:{limitsX:1}}", ":1:11: gateway.limitsX: unknown key; did you mean `limits`?"),
        (
            "{models:{providers:{openai:{apikey:'k'}}}}",
            ":1:29: models.providers.openai.apikey: unknown key; did you mean `apiKey`?",
        ),
    ] {
        let (_, warnings) = good(text);
        assert!(warnings[0].starts_with(&format!("barnacle.json{expected}")), "{text}\n  {warnings:?}");
    }
}

#[test]
fn all_problems_are_reported_and_no_secret_is_shown() {
    let text = "{gateway:{port:'x',auth:{mode:'y'},limits:{zz:1}},session:{scope:5},models:{providers:{groq:{apiKey:['abc-secret'],headers:{a:'abc-secret\\n'}}}}}";
    let found = bad(text);
    assert_eq!(found.len(), 6, "{found:#?}");
    assert!(!found.join("\n").contains("abc-secret"), "{found:#?}");
    let filled = Config::parse("{gateway:{bind:'${K}'}}", "f", &env(&[("K", "abc-secret")])).unwrap_err();
    assert!(!filled[0].to_string().contains("abc-secret"), "{filled:?}");
    let unknown: String = (0..900).map(|number| format!("zz{number}:1,")).collect();
    assert_eq!(bad(&format!("{{gateway:{{limits:{{{unknown}}}}}}}")).len(), limits::CONFIG_PROBLEMS);
    assert_eq!(good(&format!("{{{unknown}}}")).1.len(), limits::CONFIG_PROBLEMS);
}

#[test]
fn an_empty_text_gives_the_documented_defaults() {
    let (config, warnings) = good("");
    assert!(warnings.is_empty());
    assert_eq!((config.gateway.port, config.gateway.bind), (18789, Bind::Loopback));
    assert_eq!(config.gateway.limits, limits::Limits::default());
    let defaults = &config.agents.defaults;
    assert_eq!(defaults.model.primary, "anthropic/claude-opus-4-5");
    assert_eq!((defaults.timeout_seconds, defaults.max_concurrent, defaults.subagents_max_concurrent), (600, 4, 8));
    assert_eq!(config.agents.default_agent().id, "main");
    assert_eq!(config.session.reset, Reset { at_hour: Some(4), idle_minutes: None });
    assert_eq!((config.logging.max_bytes, config.logging.files, config.logging.days), (262_144, 4, 14));
    assert!(config.gateway.auth.token.is_none());
}

#[test]
fn a_full_configuration_is_read() {
    let (config, warnings) = good(
        "{ gateway: { mode: 'local', port: 4000, bind: '192.0.2.7', auth: { token: '${T}' }, trustedProxies: ['127.0.0.1', 'fd00::/8'],
            allowedOrigins: ['https://Pi.lan:443'], allowedHosts: ['Pi.lan'], controlUi: { enabled: true }, limits: { laneQueue: 7 } },
           env: { vars: { T: 'herring-herring-herring' } },
           agents: { defaults: { model: { primary: 'openai/gpt-5', fallbacks: ['groq/x'] }, workspace: '~/clawd', thinkingDefault: 'high',
                                 verboseDefault: 'full', subagents: { maxConcurrent: 2 } },
                     list: [{ id: 'Home Bot', name: 'Home', model: 'ollama/qwen', identity: { emoji: '🦀' } }, { id: 'ops', default: true }] },
           session: { scope: 'global', reset: { mode: 'idle', idleMinutes: 30 }, resetTriggers: ['/NEW'], sendPolicy: { default: 'allow' } },
           logging: { level: 'silent', consoleLevel: 'debug', file: '~/log' },
           messages: { queue: { mode: 'collect' } }, ui: { assistant: { name: 'Barney' } }, meta: { lastTouchedAt: 'x' } }",
    );
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("agents.list.0.id: read as `home-bot`"));
    assert_eq!(config.gateway.bind, Bind::Address("192.0.2.7".parse().unwrap()));
    assert!(config.gateway.auth.token.as_ref().unwrap().matches("herring-herring-herring"));
    assert!(config.gateway.trusted_proxies[1].contains("fd12::1".parse().unwrap()));
    assert_eq!((&*config.gateway.allowed_origins[0], &*config.gateway.allowed_hosts[0]), ("https://pi.lan", "pi.lan"));
    assert_eq!(config.gateway.limits.lane_queue, 7);
    assert_eq!(config.agents.default_agent().id, "ops");
    assert_eq!(config.agents.find("DEFAULT").unwrap().id, "ops");
    let home = config.agents.find("home bot").unwrap();
    assert_eq!(config.agents.models_of(home).primary, "ollama/qwen");
    assert_eq!(home.identity.emoji.as_deref(), Some("🦀"));
    assert_eq!(config.agents.defaults.workspace.as_deref(), Some("/home/pi/clawd".as_ref()));
    assert_eq!(config.agents.defaults.verbose, Verbose::Full);
    assert_eq!((config.session.scope, config.session.reset.idle_minutes), (Scope::Global, Some(30)));
    assert_eq!((config.logging.level, config.logging.console_level), (log::LevelFilter::Off, log::LevelFilter::Debug));
    assert_eq!(config.secrets().len(), 1);
}

#[test]
fn a_configuration_of_the_original_loads_with_warnings() {
    let (_, warnings) = good(
        "{ channels: { telegram: { botToken: 'x', whatever: 1 } }, tools: {}, cron: { enabled: true }, plugins: {}, wizard: {},
           gateway: { mode: 'local', reload: { mode: 'off' }, tailscale: { mode: 'off' } },
           models: { providers: { g: { baseUrl: 'https://x', api: 'google-generative-ai', models: [] } } },
           agents: { defaults: { compaction: {}, models: { 'anthropic/claude-opus-4-5': { alias: 'opus', params: {} } } } } }",
    );
    let count = warnings.iter().filter(|warning| warning.ends_with("not used by this version")).count();
    assert_eq!(count, 5, "{warnings:#?}");
    assert!(warnings.iter().any(|warning| warning.contains("provider `g` is left out")), "{warnings:#?}");
}

#[test]
fn scheduled_jobs_and_heartbeats_are_read_and_mistakes_are_named() {
    let (config, _) = good(
        "{ cron: { enabled: false, store: '~/jobs.json', maxConcurrentRuns: 3, missed: 'all' },
           agents: { defaults: { heartbeat: { every: '15m', activeHours: { start: '22:00', end: '06:30', timezone: 'Europe/Berlin' }, maxTokensPerDay: 5000 } },
                     list: [{ id: 'a' }, { id: 'b', heartbeat: { target: 'Telegram', to: '77' } }] } }",
    );
    assert!(!config.cron.enabled && config.cron.missed == cron::Missed::All && config.cron.max_concurrent_runs == 3);
    assert_eq!(config.cron.store.as_deref(), Some("/home/pi/jobs.json".as_ref()));
    // Only the agent with a heartbeat of its own beats, with the common settings below its own.
    assert!(config.agents.find("a").unwrap().heartbeat.is_none());
    let beat = config.agents.find("b").unwrap().heartbeat.clone().unwrap();
    assert_eq!((beat.every_ms, beat.target.as_str(), beat.to.as_deref()), (900_000, "telegram", Some("77")));
    assert_eq!(beat.max_tokens_per_day, Some(5000));
    let hours = beat.active.unwrap();
    assert!(hours.has(23 * 60) && !hours.has(6 * 60 + 30) && hours.zone.is_some());
    for (text, expected) in [
        ("{every:'often'}", "agents.defaults.heartbeat.every: expected a time like"),
        ("{every:'1ms'}", "agents.defaults.heartbeat.every: expected 0 (never) or at least 10 s, found"),
        ("{activeHours:{start:'8'}}", "agents.defaults.heartbeat.activeHours.start: expected a time of the day"),
        ("{activeHours:{timezone:'Nope/Zone'}}", "agents.defaults.heartbeat.activeHours.timezone: no such time zone"),
    ] {
        let text = format!("{{agents:{{defaults:{{heartbeat:{text}}}}}}}");
        let problems = Config::parse(&text, "f", &BTreeMap::new()).unwrap_err();
        assert!(problems[0].to_string().contains(expected), "{}", problems[0]);
    }
}

#[test]
fn the_old_layout_is_migrated() {
    let (config, warnings) = good("{agent:{model:'claude-sonnet-4-20250514',timeoutSeconds:30}}");
    assert_eq!(config.agents.defaults.timeout_seconds, 30);
    let (provider, model) = config.resolve(&config.agents.defaults.model.primary).unwrap();
    assert_eq!((&*provider.id, &*model.id), ("anthropic", "claude-sonnet-4-20250514"));
    assert_eq!(warnings[0], "barnacle.json:1:9: agent.model: old layout, read as agents.defaults.model");
    assert!(bad("{agent:5}")[0].contains("agent: expected an object"));
}

#[test]
fn weak_secrets_are_warned_about_on_loopback_and_refused_elsewhere() {
    let (config, warnings) = good("{gateway:{auth:{token:'secret-token'}}}");
    assert!(config.gateway.auth.token.unwrap().matches("secret-token"));
    assert!(warnings[0].contains("gateway.auth.token: weak: "), "{warnings:?}");
    for token in ["secret-token", "changeme", "", "aaaaaaaaaaaaaaaaaaaa"] {
        let found = bad(&format!("{{gateway:{{bind:'0.0.0.0',auth:{{token:'{token}'}}}}}}"));
        assert!(found[0].contains("too weak for a port that others can reach"), "{found:?}");
    }
    good("{gateway:{bind:'lan',auth:{token:'3f9c0b7a51de4826'}}}");
    good("{gateway:{bind:'::1',auth:{token:'x'}}}");
    let variables = env(&[("BARNACLE_TOKEN", "3f9c0b7a51de4826")]);
    assert!(Config::parse("{gateway:{bind:'lan'}}", "f", &variables).is_ok());
    let password_only = bad("{gateway:{bind:'lan',auth:{mode:'token',password:'herring-99'}}}");
    assert!(password_only[0].contains("listening beyond"), "{password_only:?}");
}

#[test]
fn the_mode_of_the_file_is_kept_apart_from_the_secrets() {
    let (config, _) = good("{gateway:{auth:{mode:'password',password:'herring-99',token:''}}}");
    assert_eq!(config.gateway.auth.mode, Some(AuthMode::Password));
    assert!(config.gateway.auth.token.is_none() && config.gateway.auth.password.is_some());
}

#[test]
fn changes_name_their_areas_and_only_some_need_a_restart() {
    let changes = |old: &str, new: &str| {
        let changes = Config::changed(&good(old).0, &good(new).0);
        (changes.areas.join(" "), changes.restart)
    };
    assert_eq!(changes("{}", "// same"), (String::new(), false));
    assert_eq!(changes("{gateway:{port:1}}", "{gateway:{port:2}}"), ("gateway".into(), true));
    assert_eq!(changes("{logging:{days:1}}", "{logging:{days:2},meta:{a:1}}"), ("logging meta".into(), false));
    assert_eq!(changes("{}", "{gateway:{reload:{mode:'off'}}}"), ("gateway".into(), false));
    assert_eq!(changes("{}", "{plugins:{},agents:{},zzz:1}"), ("agents plugins zzz".into(), false));
    assert_eq!(changes("{}", "{gateway:{limits:{laneQueue:7}}}"), ("gateway".into(), true));
    assert_eq!(changes("{}", "{gateway:{tls:{}}}"), ("gateway".into(), false));
    assert_eq!(
        changes("{logging:{file:'${A}'},env:{A:'x'}}", "{logging:{file:'${A}'},env:{A:'y'}}"),
        ("env logging".into(), true)
    );
}

#[test]
fn agent_ids_have_a_canonical_form() {
    for (text, id) in [("Ops", "ops"), ("Home Bot!", "home-bot-"), ("", "main"), ("-x", "x"), ("ü", "main")] {
        assert_eq!(canonical_id(text), id, "{text}");
    }
    assert_eq!(canonical_id(&"a".repeat(100)).len(), 64);
}

#[test]
fn no_text_panics_the_reader() {
    let text = "{gateway:{port:1,bind:'lan',auth:{token:'${A}'},limits:{laneQueue:5}},agents:{list:[{id:'a'}]},agent:{model:'x'}}";
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..1000 {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=random.usize(0..4) {
            let at = random.usize(0..bytes.len());
            bytes[at] = *random.choice(b"{}[]:,'\"$\\ 0a-/*\n".as_slice()).unwrap();
        }
        let _ = Config::parse(&String::from_utf8_lossy(&bytes), "f", &BTreeMap::new());
    }
}

#[test]
fn another_file_of_jobs_needs_a_restart_and_how_they_run_does_not() {
    let read = |text: &str| Config::parse(text, "f", &BTreeMap::new()).unwrap().0;
    for (old, new, restart) in [
        ("{cron:{enabled:true}}", "{cron:{enabled:false,maxConcurrentRuns:2,missed:'all'}}", false),
        ("{}", "{cron:{}}", false),
        ("{cron:{enabled:true}}", "{cron:{enabled:true,store:'/x/jobs.json'}}", true),
        ("{cron:{store:'/x/jobs.json'}}", "{}", true),
    ] {
        let changes = Config::changed(&read(old), &read(new));
        assert_eq!((changes.areas, changes.restart), (vec!["cron".to_owned()], restart), "{old} {new}");
    }
}
