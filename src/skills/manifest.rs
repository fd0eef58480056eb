//! The front matter of a SKILL.md (methods.md 12.3): lines `key: value` between two lines `---`.
//!
//! It reads the part of YAML that these files use: plain and quoted values, `>` and `|` blocks, and JSON5 in
//! `metadata`, on one line or indented over several. It executes nothing and follows no reference.

use serde_json::{Map, Value};

use crate::config::parse_json;
use crate::config::skills::Installer;
use crate::limits::SKILL_ITEMS;

/// What a SKILL.md says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Where it is from.
    pub homepage: Option<String>,
    /// Its picture.
    pub emoji: Option<String>,
    /// Its key under `skills.entries`.
    pub key: String,
    /// The variable for which `apiKey` stands.
    pub primary_env: Option<String>,
    /// Whether it is used whatever is missing.
    pub always: bool,
    /// Whether agents aren't told of it.
    pub is_hidden: bool,
    /// What it needs.
    pub requires: Requires,
    /// How to get what it needs.
    pub install: Vec<Way>,
}

/// What a skill needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requires {
    /// Programs, all of them.
    pub bins: Vec<String>,
    /// Programs, one of them.
    pub any_bins: Vec<String>,
    /// Environment variables.
    pub env: Vec<String>,
    /// Keys of the configuration that must say yes.
    pub config: Vec<String>,
    /// Systems, one of them.
    pub os: Vec<String>,
}

/// A way to install what a skill needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Its id.
    pub id: String,
    /// With what.
    pub installer: Installer,
    /// For people.
    pub label: String,
    /// What it brings.
    pub bins: Vec<String>,
    /// Where it works; everywhere when empty.
    pub os: Vec<String>,
    /// What is installed: the formula, package, module or URL; empty when the skill doesn't say.
    pub what: String,
    /// For downloads: whether the file is an archive to unpack, and how many leading directories of it are left out.
    pub unpack: Option<u64>,
    /// For downloads: a directory below the skill's tools.
    pub target_dir: Option<String>,
}

/// The keys of `metadata` under which this family of gateways keeps its part.
const NAMESPACES: [&str; 3] = ["barnacle", "clawdbot", "openclaw"];
/// Longest name, characters.
const NAME_CHARS: usize = 64;

/// Reads the front matter at the beginning of `text`. `None` without one, or without a description.
#[must_use]
pub fn parse(text: &str, dir_name: &str) -> Option<Manifest> {
    let fields = front_matter(text)?;
    let field = |names: &[&str]| {
        let find = |name: &&str| fields.iter().find(|(have, _)| have == name).map(|(_, value)| value.trim().to_owned());
        names.iter().find_map(find).filter(|value| !value.is_empty())
    };
    let description = field(&["description"])?;
    let name: String = field(&["name"]).unwrap_or_else(|| dir_name.to_owned()).chars().take(NAME_CHARS).collect();
    let metadata = field(&["metadata"]).and_then(|text| parse_json(&text, "metadata").ok()).unwrap_or_default();
    let own = NAMESPACES.iter().find_map(|namespace| metadata.get(namespace)?.as_object()).cloned().unwrap_or_default();
    let own_text = |key: &str| filled(own.get(key));
    let requires = own.get("requires").and_then(Value::as_object).cloned().unwrap_or_default();
    let is_set = |name: &str, default: bool| field(&[name]).map_or(default, |value| value.eq_ignore_ascii_case("true"));
    Some(Manifest {
        homepage: own_text("homepage").or_else(|| field(&["homepage", "website", "url"])),
        emoji: own_text("emoji").or_else(|| field(&["emoji"])),
        key: own_text("skillKey").unwrap_or_else(|| name.clone()),
        primary_env: own_text("primaryEnv"),
        always: own.get("always") == Some(&Value::Bool(true)),
        is_hidden: is_set("disable-model-invocation", false),
        requires: Requires {
            bins: texts(requires.get("bins")),
            any_bins: texts(requires.get("anyBins")),
            env: texts(requires.get("env")),
            config: texts(requires.get("config")),
            os: texts(own.get("os")),
        },
        install: ways(own.get("install")),
        name,
        description,
    })
}

/// The keys and values between the lines `---`, in their order.
fn front_matter(text: &str) -> Option<Vec<(String, String)>> {
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    (lines.next()?.trim_end() == "---").then_some(())?;
    let mut fields: Vec<(String, String, Vec<String>)> = Vec::new();
    for line in lines {
        if line.trim_end() == "---" {
            return Some(fields.into_iter().map(|(key, first, more)| (key, value_of(&first, &more))).collect());
        }
        let is_indented = line.starts_with([' ', '\t']) || line.trim().is_empty();
        match (is_indented, line.split_once(':')) {
            (true, _) => {
                if let Some((_, _, more)) = fields.last_mut() {
                    more.push(line.trim().to_owned());
                }
            }
            (false, Some((key, value))) if fields.len() < SKILL_ITEMS => {
                fields.push((key.trim().to_owned(), value.trim().to_owned(), Vec::new()));
            }
            // A comment, or what nobody needs.
            (false, _) => {}
        }
    }
    None
}

fn value_of(first: &str, more: &[String]) -> String {
    let joined = |by: &str| more.join(by).trim().to_owned();
    match first.trim_end_matches(['-', '+']) {
        "|" => return joined("\n"),
        ">" => return joined(" "),
        _ => {}
    }
    let whole = if more.iter().all(String::is_empty) { first.to_owned() } else { format!("{first} {}", joined(" ")) };
    let whole = whole.trim();
    let inner = |quote: char| whole.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(inner) = inner('\'') {
        return inner.replace("''", "'");
    }
    match inner('"') {
        Some(inner) => serde_json::from_str(whole).unwrap_or_else(|_| inner.to_owned()),
        None => whole.to_owned(),
    }
}

fn filled(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A list of texts, or one text with commas.
fn texts(value: Option<&Value>) -> Vec<String> {
    let all: Vec<&str> = match value {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(text)) => text.split(',').collect(),
        _ => Vec::new(),
    };
    let filled = all.into_iter().map(str::trim).filter(|text| !text.is_empty());
    filled.take(SKILL_ITEMS).map(str::to_owned).collect()
}

fn ways(value: Option<&Value>) -> Vec<Way> {
    let items = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let objects = items.iter().take(SKILL_ITEMS).enumerate();
    objects.filter_map(|(index, item)| way(index, item.as_object()?)).collect()
}

fn way(index: usize, item: &Map<String, Value>) -> Option<Way> {
    let text = |key: &str| filled(item.get(key));
    let installer = Installer::parse(&text("kind").or_else(|| text("type"))?.to_lowercase())?;
    let key = match installer {
        Installer::Brew => "formula",
        Installer::Node | Installer::Uv => "package",
        Installer::Go => "module",
        Installer::Download => "url",
    };
    let what = text(key).unwrap_or_default();
    let is_archive = text("archive").is_some() || item.get("extract") == Some(&Value::Bool(true));
    let unpack = is_archive && item.get("extract") != Some(&Value::Bool(false));
    let label = match installer {
        Installer::Download => format!("Download {}", what.rsplit('/').next().unwrap_or_default()),
        _ => format!("Install {what} with {}", installer.name()),
    };
    Some(Way {
        id: text("id").unwrap_or_else(|| format!("{}-{index}", installer.name())),
        installer,
        label: text("label").unwrap_or(label),
        bins: texts(item.get("bins")),
        os: texts(item.get("os")),
        what,
        unpack: unpack.then(|| item.get("stripComponents").and_then(Value::as_u64).unwrap_or(0)),
        target_dir: text("targetDir"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read() {
        let text = "---\nname: weather\ndescription: \"Tells: the weather\"\nhomepage: https://wttr.in/:help\n\
            disable-model-invocation: true\n\
            metadata: {clawdbot:{emoji:'🌤️',always:true,skillKey:'wx',primaryEnv:'WX_KEY',os:['linux'],\
            requires:{bins:['curl'],anyBins:'a, b',env:['X'],config:['browser.enabled']},\
            install:[{kind:'brew',formula:'curl',bins:['curl']},{id:'get',kind:'download',url:'https://x/y.tar.gz',archive:'tar.gz',stripComponents:1}]}}\n\
            ---\n# Weather\n";
        let skill = parse(text, "dir").unwrap();
        assert_eq!((skill.name.as_str(), skill.description.as_str()), ("weather", "Tells: the weather"));
        assert_eq!((skill.homepage.as_deref(), skill.emoji.as_deref()), (Some("https://wttr.in/:help"), Some("🌤️")));
        assert_eq!((skill.key.as_str(), skill.primary_env.as_deref()), ("wx", Some("WX_KEY")));
        assert!(skill.always && skill.is_hidden);
        let requires = &skill.requires;
        assert_eq!((&*requires.bins, &*requires.any_bins), (&["curl".to_owned()][..], &["a".into(), "b".into()][..]));
        assert_eq!((&*requires.config, &*requires.os), (&["browser.enabled".to_owned()][..], &["linux".into()][..]));
        let ids: Vec<_> = skill.install.iter().map(|way| (way.id.as_str(), way.unpack)).collect();
        assert_eq!(ids, [("brew-0", None), ("get", Some(1))]);
    }

    #[test]
    fn blocks_quotes_and_metadata_over_lines_are_understood() {
        let text = "---\r\ndescription: >-\r\n  one\r\n  two\r\nname: 'it''s'\r\nmetadata:\r\n  {\r\n    \"openclaw\":\r\n      { \"emoji\": \"x\", },\r\n  }\r\n---\r\n";
        let skill = parse(text, "dir").unwrap();
        assert_eq!((skill.name.as_str(), skill.description.as_str()), ("it's", "one two"));
        assert_eq!(skill.emoji.as_deref(), Some("x"));
        let plain = parse("---\ndescription: a\n b\n---", "dir").unwrap();
        assert_eq!((plain.name.as_str(), plain.key.as_str(), plain.description.as_str()), ("dir", "dir", "a b"));
    }

    #[test]
    fn without_front_matter_or_description_there_is_no_skill() {
        for text in ["", "# x", "---\nname: x\n---\n", "---\ndescription: x\n", "---\ndescription: ' '\n---", "--- \nx"]
        {
            assert_eq!(parse(text, "dir"), None, "{text:?}");
        }
        // Broken metadata takes nothing else with it.
        assert!(parse("---\ndescription: x\nmetadata: {broken\n---", "dir").is_some());
    }
}
