//! Credentials that systemd hands over (`LoadCredential=`): files that only the gateway can read, whatever the rights
//! of the file that they come from.
//!
//! `token` and `password` are the shared secret; any other one is named as the environment variable that it stands
//! for, such as `ANTHROPIC_API_KEY`. They come before the environment and are read once: systemd gives new ones with a
//! restart of the service only.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::gateway::{PASSWORD_VARIABLE, TOKEN_VARIABLE};
use super::substitute::is_name;
use crate::limits::{CREDENTIAL_BYTES, CREDENTIALS};
use crate::sys::Files;

/// Where systemd puts them.
const DIRECTORY_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// What was handed over, by the environment variable that it stands for.
///
/// # Errors
/// What is wrong with which credential; never a part of it.
pub fn read(files: &dyn Files, env: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
    let mut found = BTreeMap::new();
    let Some(dir) = env.get(DIRECTORY_VARIABLE).filter(|dir| !dir.is_empty()).map(Path::new) else {
        return Ok(found);
    };
    let entries = files.list(dir).map_err(|error| format!("systemd's credentials can't be read: {error}"))?;
    if entries.len() > CREDENTIALS {
        return Err(format!("systemd hands over {} credentials; at most {CREDENTIALS} can be used", entries.len()));
    }
    for entry in entries {
        let name = entry.name.as_str();
        let variable = match name {
            "token" => TOKEN_VARIABLE,
            "password" => PASSWORD_VARIABLE,
            name if is_name(name) => name,
            name => {
                return Err(format!(
                    "systemd's credential `{name}` has no use here; expected `token`, `password`, or the name of an \
                     environment variable such as `ANTHROPIC_API_KEY` (LoadCredential=)"
                ));
            }
        };
        let text = files.read(&dir.join(name), CREDENTIAL_BYTES).and_then(|bytes| {
            String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
        });
        let text = text.map_err(|error| format!("systemd's credential `{name}` can't be read: {error}"))?;
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        if text.is_empty() {
            return Err(format!(
                "systemd's credential `{name}` is empty; write the secret into the file it comes from"
            ));
        }
        found.insert(variable.to_owned(), text.to_owned());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::sim::SimFiles;

    fn handed(files: &[(&str, &str)]) -> Result<BTreeMap<String, String>, String> {
        let disk = SimFiles::new();
        disk.create_dir(Path::new("/run/credentials")).unwrap();
        for (name, text) in files {
            disk.append(&Path::new("/run/credentials").join(name), text.as_bytes()).unwrap();
        }
        let env = [(DIRECTORY_VARIABLE.to_owned(), "/run/credentials".to_owned())].into();
        read(&disk, &env)
    }

    #[test]
    fn each_credential_stands_for_a_variable() {
        let found = handed(&[("token", "t-1\n"), ("password", " p-1 "), ("ANTHROPIC_API_KEY", "k-1\0")]).unwrap();
        let wanted = [("ANTHROPIC_API_KEY", "k-1"), ("BARNACLE_PASSWORD", "p-1"), ("BARNACLE_TOKEN", "t-1")];
        assert_eq!(found, wanted.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
        assert_eq!(read(&SimFiles::new(), &BTreeMap::new()), Ok(BTreeMap::new()));
    }

    #[test]
    fn what_cannot_be_used_is_named_and_not_shown() {
        for (name, text, why) in [
            ("tokens", "s3cret", "has no use here"),
            ("token", "\n", "is empty"),
            ("KEY", &"s3cret ".repeat(3000), "can't be read"),
        ] {
            let problem = handed(&[(name, text)]).unwrap_err();
            assert!(problem.contains(&format!("`{name}` {why}")) && !problem.contains("s3cret"), "{problem}");
        }
    }
}
