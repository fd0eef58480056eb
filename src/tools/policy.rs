//! Whether a call runs: from the configuration, the tool and whoever asked; never from what a text says. Pure.

use super::{Group, Risk, Tool};
use crate::config::tools::{Decision, Profile, Rule, Tools};
use crate::runs::asker::Asker;
use crate::runs::tools::Scene;

/// How far a word reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// The owner: an operator's client, the owner's own jobs, people of `tools.elevated.allowFrom`.
    Owner,
    /// Somebody who was let in, a paired node, or the agent by itself.
    Known,
    /// A request from elsewhere.
    Outside,
}

/// What holds where no rule fits: the rows are risks, the columns who asks.
///
/// | | owner | known | outside |
/// | --- | --- | --- | --- |
/// | look | allow | allow | allow |
/// | private | allow | ask | deny |
/// | change | allow | ask | deny |
/// | world | ask | ask | deny |
fn usual(risk: Risk, trust: Trust) -> Decision {
    match (risk, trust) {
        (Risk::Look, _) | (Risk::Private | Risk::Change, Trust::Owner) => Decision::Allow,
        (_, Trust::Outside) => Decision::Deny,
        (Risk::Private | Risk::Change, Trust::Known) | (Risk::World, _) => Decision::Ask,
    }
}

/// Whether the owner speaks.
#[must_use]
pub fn is_owner(config: &Tools, asker: &Asker) -> bool {
    trust(config, asker) == Trust::Owner
}

fn trust(config: &Tools, asker: &Asker) -> Trust {
    match asker {
        Asker::Operator(_) | Asker::Schedule => Trust::Owner,
        Asker::Node(_) | Asker::Heartbeat => Trust::Known,
        Asker::Hook => Trust::Outside,
        Asker::Person(person) => {
            let owners = config.owners.get(person.channel).map(Vec::as_slice).unwrap_or_default();
            if owners.iter().any(|entry| person.is_called(entry)) { Trust::Owner } else { Trust::Known }
        }
    }
}

/// What becomes of a call of that tool. `risk` is the call's, which may be more than the row says.
#[must_use]
pub fn decide(config: &Tools, tool: &Tool, risk: Risk, scene: &Scene) -> Decision {
    let is_named = |list: &[String]| list.iter().any(|entry| names(entry, tool));
    let has_it = in_profile(config.profile, tool.group) || is_named(&config.also_allow);
    if !has_it || is_named(&config.deny) || !(config.allow.is_empty() || is_named(&config.allow)) {
        return Decision::Deny;
    }
    let rule = config.rules.iter().find(|rule| fits(rule, tool, scene));
    rule.map_or_else(|| usual(risk, trust(config, &scene.asker)), |rule| rule.decision)
}

/// Whether a tool may be offered at all: one whose calls could only be refused is not.
#[must_use]
pub fn is_offered(config: &Tools, tool: &Tool, scene: &Scene) -> bool {
    decide(config, tool, tool.risk, scene) != Decision::Deny
}

fn in_profile(profile: Profile, group: Group) -> bool {
    match profile {
        Profile::Full => true,
        Profile::Coding => matches!(group, Group::Files | Group::Sessions | Group::Notes | Group::Runtime),
        Profile::Messaging => matches!(group, Group::Messages | Group::Sessions),
        Profile::Minimal => false,
    }
}

/// Whether an entry of a list means a tool: its name, a name with `*` at the end, or its group.
fn names(entry: &str, tool: &Tool) -> bool {
    match entry.strip_prefix("group:") {
        Some(group) => group == tool.group.name(),
        None => matches(entry, tool.name),
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    }
}

fn fits(rule: &Rule, tool: &Tool, scene: &Scene) -> bool {
    let is_among =
        |list: &[String], is_it: &dyn Fn(&str) -> bool| list.is_empty() || list.iter().any(|entry| is_it(entry));
    let is_sender = |entry: &str| match &scene.asker {
        Asker::Person(person) => person.is_called(entry),
        _ => false,
    };
    is_among(&rule.tools, &|entry| names(entry, tool))
        && is_among(&rule.agents, &|entry| entry == scene.agent_id)
        && is_among(&rule.sessions, &|entry| matches(entry, scene.session.as_str()))
        && is_among(&rule.channels, &|entry| entry == scene.asker.way())
        && is_among(&rule.senders, &is_sender)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Function;
    use super::*;
    use crate::config::Config;
    use crate::runs::asker::Person;
    use crate::stores::SessionKey;
    use crate::wire::shape::Kind;

    fn tool(name: &'static str, risk: Risk) -> Tool {
        let function = Function { params: || Kind::Any, run: |_, _| Box::pin(std::future::pending()) };
        Tool::new(name, Group::Files, risk, "", function)
    }

    fn config(text: &str) -> Tools {
        Config::parse(text, "f", &BTreeMap::new()).unwrap().0.tools
    }

    fn scene(asker: Asker) -> Scene {
        Scene { session: SessionKey::main_of("main"), agent_id: "main".into(), run_id: "r".into(), asker }
    }

    fn ann() -> Asker {
        Asker::Person(Person {
            channel: "telegram",
            account_id: "default".into(),
            sender_id: "77".into(),
            username: None,
            chat: "77".into(),
        })
    }

    #[test]
    fn without_rules_the_risk_and_the_asker_decide() {
        use Decision::{Allow, Ask, Deny};
        let none = config("{}");
        let owned = config("{tools:{elevated:{allowFrom:{telegram:['77']}}}}");
        for (risk, owner, known, outside) in [
            (Risk::Look, Allow, Allow, Allow),
            (Risk::Private, Allow, Ask, Deny),
            (Risk::Change, Allow, Ask, Deny),
            (Risk::World, Ask, Ask, Deny),
        ] {
            let tool = tool("read", risk);
            let decided = |config: &Tools, asker| decide(config, &tool, risk, &scene(asker));
            assert_eq!(decided(&none, Asker::with_secret("cli")), owner, "{risk:?}");
            assert_eq!(decided(&owned, ann()), owner, "{risk:?}");
            assert_eq!(decided(&none, ann()), known, "{risk:?}");
            assert_eq!(decided(&none, Asker::Node("n".into())), known, "{risk:?}");
            assert_eq!(decided(&none, Asker::Heartbeat), known, "{risk:?}");
            assert_eq!(decided(&none, Asker::Hook), outside, "{risk:?}");
        }
    }

    #[test]
    fn the_first_rule_that_fits_counts_and_lists_come_before_rules() {
        let tool = tool("read", Risk::World);
        let decided = |text: &str| decide(&config(text), &tool, Risk::World, &scene(ann()));
        assert_eq!(
            decided(
                "{tools:{policy:[{tools:['re*'],senders:['telegram:78'],decision:'deny'},{channels:['telegram'],decision:'allow'}]}}"
            ),
            Decision::Allow
        );
        assert_eq!(decided("{tools:{policy:[{sessions:['agent:main:*'],decision:'deny'}]}}"), Decision::Deny);
        assert_eq!(decided("{tools:{policy:[{agents:['other'],decision:'allow'}]}}"), Decision::Ask);
        assert_eq!(decided("{tools:{policy:[{tools:['group:fs'],decision:'allow'}]}}"), Decision::Allow);
        for lists in ["deny:['group:fs']", "allow:['other']", "profile:'minimal'"] {
            assert_eq!(
                decided(&format!("{{tools:{{{lists},policy:[{{decision:'allow'}}]}}}}")),
                Decision::Deny,
                "{lists}"
            );
        }
        assert_eq!(
            decided("{tools:{profile:'minimal',alsoAllow:['read'],policy:[{decision:'allow'}]}}"),
            Decision::Allow
        );
    }
}
