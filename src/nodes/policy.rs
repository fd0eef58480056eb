//! Which commands a node may be asked to run: a table by platform, and the owner's changes to it
//! (connection.md 6.2). It is applied when a node connects and again at each invoke.
//!
//! Unlike in the original, a platform that nobody knows gets what every phone has, not everything.

use crate::config::gateway::NodeRules;

/// What a node runs on, as far as it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// iPhone, iPad.
    Ios,
    /// Android.
    Android,
    /// Mac.
    Macos,
    /// Windows.
    Windows,
    /// Linux.
    Linux,
    /// Anything else.
    Unknown,
}

use Platform::{Android, Ios, Linux, Macos, Unknown, Windows};

const SCREENS: &[Platform] = &[Ios, Android, Macos, Unknown];
const MACHINES: &[Platform] = &[Macos, Linux, Windows];

/// Every command that is allowed somewhere without the owner's doing, and where.
pub const COMMANDS: &[(&str, &[Platform])] = &[
    ("canvas.present", SCREENS),
    ("canvas.hide", SCREENS),
    ("canvas.navigate", SCREENS),
    ("canvas.eval", SCREENS),
    ("canvas.snapshot", SCREENS),
    ("canvas.a2ui.push", SCREENS),
    ("canvas.a2ui.pushJSONL", SCREENS),
    ("canvas.a2ui.reset", SCREENS),
    ("camera.list", SCREENS),
    ("camera.snap", SCREENS),
    ("camera.clip", SCREENS),
    ("screen.record", SCREENS),
    ("location.get", SCREENS),
    ("sms.send", &[Android]),
    ("system.run", MACHINES),
    ("system.which", MACHINES),
    ("system.notify", MACHINES),
    ("system.execApprovals.get", MACHINES),
    ("system.execApprovals.set", MACHINES),
    ("browser.proxy", MACHINES),
];

/// Beginnings of a platform's text.
const BY_PLATFORM: &[(&str, Platform)] =
    &[("ios", Ios), ("android", Android), ("mac", Macos), ("darwin", Macos), ("win", Windows), ("linux", Linux)];

/// Parts of a device family's text.
const BY_FAMILY: &[(&str, Platform)] = &[
    ("iphone", Ios),
    ("ipad", Ios),
    ("ios", Ios),
    ("android", Android),
    ("mac", Macos),
    ("windows", Windows),
    ("linux", Linux),
];

impl Platform {
    /// Reads what a client says of itself.
    #[must_use]
    pub fn of(platform: &str, device_family: Option<&str>) -> Self {
        let platform = platform.trim().to_lowercase();
        let family = device_family.unwrap_or_default().trim().to_lowercase();
        let by_platform = BY_PLATFORM.iter().find(|(start, _)| platform.starts_with(start));
        let by_family = || BY_FAMILY.iter().find(|(part, _)| family.contains(part));
        by_platform.or_else(by_family).map_or(Unknown, |(_, found)| *found)
    }
}

/// Why a node isn't asked (connection.md 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Its platform isn't asked for that.
    NotAllowlisted,
    /// It offers nothing.
    NoneDeclared,
    /// It doesn't offer that.
    NotDeclared,
}

impl Refused {
    /// `details.reason` on the wire.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotAllowlisted => "command not allowlisted",
            Self::NoneDeclared => "node did not declare commands",
            Self::NotDeclared => "command not declared by node",
        }
    }
}

/// Whether nodes on that platform may be asked for a command.
#[must_use]
pub fn allows(platform: Platform, command: &str, rules: &NodeRules) -> bool {
    let is_in = |list: &[String]| list.iter().any(|name| name == command);
    let by_table = COMMANDS.iter().any(|(name, platforms)| *name == command && platforms.contains(&platform));
    (by_table || is_in(&rules.allow_commands)) && !is_in(&rules.deny_commands)
}

/// What of a node's offer is taken: trimmed, each once, allowed.
#[must_use]
pub fn reduce(platform: Platform, offered: &[String], rules: &NodeRules) -> Vec<String> {
    let mut taken: Vec<String> = Vec::new();
    for command in offered.iter().map(|command| command.trim()) {
        if allows(platform, command, rules) && !taken.iter().any(|have| have == command) {
            taken.push(command.to_owned());
        }
    }
    taken
}

/// Decides about one invoke of a node that has `declared` commands.
///
/// # Errors
/// The first reason why it isn't asked.
pub fn check(platform: Platform, declared: &[String], command: &str, rules: &NodeRules) -> Result<(), Refused> {
    if !allows(platform, command, rules) {
        return Err(Refused::NotAllowlisted);
    }
    if declared.is_empty() {
        return Err(Refused::NoneDeclared);
    }
    if !declared.iter().any(|have| have == command) {
        return Err(Refused::NotDeclared);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Platform; 6] = [Ios, Android, Macos, Windows, Linux, Unknown];

    fn rules(allow: &[&str], deny: &[&str]) -> NodeRules {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        NodeRules { allow_commands: owned(allow), deny_commands: owned(deny) }
    }

    #[test]
    fn platforms_are_told_by_their_text_first_and_their_family_second() {
        for (platform, family, expected) in [
            ("ios 26.1", None, Ios),
            (" iOS", Some("Mac"), Ios),
            ("android 16", None, Android),
            ("darwin", None, Macos),
            ("macos 15.1", None, Macos),
            ("Windows 11", None, Windows),
            ("win32", None, Windows),
            ("linux", None, Linux),
            ("iPadOS 18", None, Unknown),
            ("iPadOS 18", Some("iPad"), Ios),
            ("something", Some("My iPhone"), Ios),
            ("", Some("Linux"), Linux),
            ("", None, Unknown),
            ("freebsd", Some("toaster"), Unknown),
        ] {
            assert_eq!(Platform::of(platform, family), expected, "{platform:?} {family:?}");
        }
    }

    #[test]
    fn every_command_stands_once_and_is_allowed_somewhere() {
        for (index, (name, platforms)) in COMMANDS.iter().enumerate() {
            assert!(!platforms.is_empty() && !name.trim().is_empty());
            assert!(COMMANDS.iter().skip(index + 1).all(|(other, _)| other != name), "{name}");
        }
    }

    #[test]
    fn nobody_unknown_gets_more_than_an_iphone() {
        for (name, _) in COMMANDS {
            assert_eq!(allows(Unknown, name, &rules(&[], &[])), allows(Ios, name, &rules(&[], &[])), "{name}");
            if name.starts_with("system.") || matches!(*name, "sms.send" | "browser.proxy") {
                assert!(!allows(Unknown, name, &rules(&[], &[])), "{name}");
            }
        }
    }

    #[test]
    fn the_owner_adds_for_every_platform_and_takes_away_last() {
        for platform in ALL {
            for (name, _) in COMMANDS {
                assert!(!allows(platform, name, &rules(&[name], &[name])), "{name}");
                assert!(allows(platform, name, &rules(&[name], &[])), "{name}");
            }
            assert!(allows(platform, "torch.on", &rules(&["torch.on"], &[])));
            assert!(!allows(platform, "torch.on", &rules(&[], &[])));
        }
    }

    #[test]
    fn an_offer_is_trimmed_reduced_and_checked_in_the_reference_order() {
        let none = rules(&[], &[]);
        let offered = [" system.run ", "system.run", "camera.snap", "sms.send", ""].map(str::to_owned);
        let taken = reduce(Linux, &offered, &none);
        assert_eq!(taken, ["system.run"]);
        assert_eq!(check(Linux, &taken, "system.run", &none), Ok(()));
        assert_eq!(check(Linux, &taken, "camera.snap", &none), Err(Refused::NotAllowlisted));
        assert_eq!(check(Linux, &taken, "system.which", &none), Err(Refused::NotDeclared));
        assert_eq!(check(Linux, &[], "system.which", &none), Err(Refused::NoneDeclared));
        assert_eq!(check(Linux, &taken, "system.run", &rules(&[], &["system.run"])), Err(Refused::NotAllowlisted));
    }
}
