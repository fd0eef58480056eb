//! The configuration as clients may see it (methods.md 8.1): without secrets, and without what
//! variables hold, so that nothing can be written back that was never written.

use serde_json::Value;

use super::file::Standing;
use super::old_layout::{OLD_LAYOUT, migrate_value};
use super::{Problem, Reading, lookup, redact};

/// What `config.get` tells.
#[derive(Debug)]
pub struct View {
    /// Whether there is anything.
    pub exists: bool,
    /// The text; `None` when there is none, or when it can't be read so that its secrets can't be told.
    pub raw: Option<String>,
    /// The text as JSON.
    pub parsed: Value,
    /// With includes and defaults; texts are as they are written.
    pub config: Value,
    /// The hash of the real text.
    pub hash: String,
    /// Whether the gateway could start with it.
    pub valid: bool,
    /// What is wrong.
    pub issues: Vec<Problem>,
    /// What the owner should know.
    pub warnings: Vec<Problem>,
    /// What is in an old layout, and read all the same.
    pub legacy: Vec<Problem>,
}

/// The view of what stands there, as it was read.
#[must_use]
pub fn of(standing: Standing, reading: Reading) -> View {
    let mut parsed = reading.parsed.clone();
    redact::hide(&mut parsed);
    let config = config_of(&reading);
    let (legacy, warnings) = reading.warnings.into_iter().partition(|warning| warning.message.starts_with(OLD_LAYOUT));
    let mut issues = standing.garbled.clone();
    issues.extend(reading.outcome.err().unwrap_or_default());
    View {
        exists: standing.is_there(),
        raw: standing.text.as_deref().and_then(redact::hide_in_text),
        parsed,
        config,
        hash: standing.hash,
        valid: issues.is_empty(),
        issues,
        warnings,
        legacy,
    }
}

/// The configuration with includes and, when it is valid, defaults.
#[must_use]
pub fn config_of(reading: &Reading) -> Value {
    let mut config = reading.merged.clone();
    if reading.outcome.is_ok() {
        migrate_value(&mut config);
        for (path, default) in lookup::defaults() {
            fill_in(&mut config, path, default);
        }
    }
    redact::hide(&mut config);
    config
}

/// Sets the value unless there is one; leaves alone what isn't an object.
fn fill_in(config: &mut Value, path: &str, default: Value) {
    let (parents, name) = path.rsplit_once('.').unwrap_or(("", path));
    let mut place = config;
    for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
        let Value::Object(entries) = place else { return };
        place = entries.entry(parent).or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    if let Value::Object(entries) = place {
        entries.entry(name).or_insert(default);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn view(text: &str) -> View {
        let env = BTreeMap::from([("KEY".to_owned(), "resolved".to_owned())]);
        of(Standing::of(Some(text)), Config::read(text, "f", &env, &crate::config::include::none))
    }

    #[test]
    fn defaults_are_filled_in_and_variables_are_not() {
        let seen =
            view("{gateway:{port:5},ui:{assistant:{name:'${KEY}'}},models:{providers:{groq:{apiKey:'${KEY}'}}}}");
        assert!(seen.valid && seen.issues.is_empty());
        assert_eq!(
            (&seen.config["gateway"]["port"], &seen.config["gateway"]["reload"]["mode"]),
            (&json!(5), &json!("hybrid"))
        );
        assert_eq!(seen.config["agents"]["defaults"]["timeoutSeconds"], 600);
        assert_eq!(seen.config["ui"]["assistant"]["name"], "${KEY}");
        assert_eq!(seen.config["models"]["providers"]["groq"]["apiKey"], redact::MARKER);
        assert!(seen.config["session"].get("reset").is_none());
        assert_eq!(seen.parsed["gateway"], json!({"port": 5}));
    }

    #[test]
    fn the_defaults_that_are_shown_mean_what_their_absence_means() {
        let env = BTreeMap::new();
        let plain = Config::parse("{}", "f", &env).unwrap().0;
        let text = config_of(&Config::read("{}", "f", &env, &crate::config::include::none)).to_string();
        let full = Config::parse(&text, "f", &env).unwrap().0;
        assert_eq!(format!("{:?}", plain.gateway), format!("{:?}", full.gateway));
        assert_eq!(format!("{:?}", plain.agents), format!("{:?}", full.agents));
        assert_eq!(format!("{:?}", plain.session), format!("{:?}", full.session));
        assert_eq!(format!("{:?}", plain.logging), format!("{:?}", full.logging));
    }

    #[test]
    fn an_invalid_text_is_seen_as_far_as_it_can_be_read() {
        let broken = view("{ gateway: { auth: { token: 'hush'");
        assert!(!broken.valid && broken.exists && broken.raw.is_none());
        assert_eq!((broken.parsed, broken.config), (json!({}), json!({})));
        let wrong = view("{gateway:{port:'x',auth:{token:'hush-hush'}},agent:{model:'m'},zz:1}");
        assert_eq!(wrong.config["gateway"], json!({"port": "x", "auth": {"token": redact::MARKER}}));
        assert_eq!(wrong.legacy[0].key, "agent.model");
        assert!(wrong.warnings.iter().any(|warning| warning.key == "zz"));
    }
}
