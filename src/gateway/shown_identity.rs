//! How an agent shows itself to people (methods.md 3.4): its name, and its picture as something that a page can show.

use std::path::Path;

use super::Gateway;
use crate::config::agents::Agent;
use crate::limits::AVATAR_BYTES;
use crate::runs::prompt;
use crate::skills::workspace_of;
use crate::sys::Sys;

/// A name and a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The name.
    pub name: String,
    /// A URL, a data URL, or a few characters.
    pub avatar: String,
}

/// The file of the workspace in which an agent describes itself.
const FILE: &str = "IDENTITY.md";
/// Characters of it that are looked at.
const FILE_CHARS: usize = 8 * 1024;
/// Characters of a shown name.
const NAME_CHARS: usize = 50;
/// Pictures that pages can show.
const PICTURES: [(&str, &str); 6] = [
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("svg", "image/svg+xml"),
];

impl Gateway {
    /// An agent's name and picture: the web page's own, else the agent's, else what IDENTITY.md says. A picture in
    /// the workspace becomes a data URL; one that isn't there is passed over.
    #[must_use]
    pub fn shown_identity(&self, agent: &Agent) -> Shown {
        let config = self.config.get();
        let workspace = workspace_of(&config, &self.places, &agent.id);
        let own = prompt::workspace_file(&self.sys, &workspace.join(FILE), FILE_CHARS).unwrap_or_default();
        let names = [&config.assistant.name, &agent.identity.name, &agent.name].into_iter().flatten().cloned();
        let name = names.chain(said(&own, "name")).next().unwrap_or_else(|| "Assistant".to_owned());
        let set = [&config.assistant.avatar, &agent.identity.avatar, &agent.identity.emoji].into_iter().flatten();
        let pictures = set.cloned().chain(said(&own, "avatar")).chain(said(&own, "emoji"));
        let avatar = pictures.into_iter().find_map(|picture| shown(&self.sys, &workspace, &picture));
        Shown { name: name.chars().take(NAME_CHARS).collect(), avatar: avatar.unwrap_or_else(|| "A".to_owned()) }
    }
}

/// What a line `- **Name:** …` says; nothing for a hint in brackets that nobody has replaced.
fn said(text: &str, label: &str) -> Option<String> {
    let decoration = |c: char| matches!(c, '-' | '*' | '_' | '#' | '`') || c.is_whitespace();
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let value = value.trim_matches(decoration);
        let is_hint = value.is_empty() || (value.starts_with('(') && value.ends_with(')'));
        (name.trim_matches(decoration).eq_ignore_ascii_case(label) && !is_hint).then(|| value.to_owned())
    })
}

/// A picture as a page can show it.
fn shown(sys: &Sys, workspace: &Path, picture: &str) -> Option<String> {
    let is_url = ["http://", "https://", "data:"].iter().any(|scheme| picture.starts_with(scheme));
    let Some((_, end)) = picture.rsplit_once('.').filter(|_| !is_url) else { return Some(picture.to_owned()) };
    let Some((_, kind)) = PICTURES.iter().find(|(name, _)| end.eq_ignore_ascii_case(name)) else {
        return Some(picture.to_owned());
    };
    // Links and `..` lead nowhere else: the real file must lie in the real workspace.
    let file = sys.files.real_path(&workspace.join(picture)).ok()?;
    if !file.starts_with(sys.files.real_path(workspace).ok()?) {
        log::warn!("the picture {picture} lies outside the workspace");
        return None;
    }
    let bytes = sys.files.read(&file, AVATAR_BYTES).ok()?;
    Some(format!("data:{kind};base64,{}", data_encoding::BASE64.encode(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::bench::Bench;
    use crate::sys::Files as _;

    #[test]
    fn lines_of_the_file_are_understood_and_hints_passed_over() {
        let text = "# IDENTITY.md\n- **Name:** Ruby\n- **Creature:** crab\n- **Emoji:** *(your signature)*\n* Avatar: `me.png`\n";
        assert_eq!(said(text, "name").as_deref(), Some("Ruby"));
        assert_eq!((said(text, "emoji"), said(text, "avatar").as_deref()), (None, Some("me.png")));
    }

    #[test]
    fn pictures_of_the_workspace_alone_become_data_urls() {
        let bench = Bench::new(1);
        bench.files.create_dir(Path::new("/w/pics")).unwrap();
        bench.files.append(Path::new("/w/pics/me.PNG"), b"abc").unwrap();
        bench.files.append(Path::new("/out.png"), b"abc").unwrap();
        bench.files.append(Path::new("/w/big.png"), &vec![0; usize::try_from(AVATAR_BYTES).unwrap() + 1]).unwrap();
        let show = |picture: &str| shown(&bench.sys, Path::new("/w"), picture);
        assert_eq!(show("pics/me.PNG").as_deref(), Some("data:image/png;base64,YWJj"));
        assert_eq!((show("/out.png"), show("missing.png"), show("big.png")), (None, None, None));
        for plain in ["🦀", "R.", "https://x/y.png", "data:image/png;base64,AA"] {
            assert_eq!(show(plain).as_deref(), Some(plain));
        }
    }
}
