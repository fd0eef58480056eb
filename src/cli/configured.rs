//! What a client wants from the gateway's configuration file: the port and the shared secret.
//!
//! A client goes on without the file, and with one that the gateway would refuse: the gateway that
//! is asked may run with an older one. Nothing here judges the configuration.

use std::path::Path;

use jsonc_parser::{ParseOptions, parse_to_serde_value};

use super::Environment;
use crate::limits::CONFIG_BYTES;
use crate::secret::Secret;
use crate::sys::Files;

/// The part of the configuration that clients use.
#[derive(Debug, Clone, Default)]
pub struct Configured {
    /// `gateway.port`.
    pub port: Option<u16>,
    /// `gateway.auth.token`.
    pub token: Option<Secret>,
    /// `gateway.auth.password`.
    pub password: Option<Secret>,
}

impl Configured {
    /// Reads the file, if there is one that can be read.
    ///
    /// # Errors
    /// Why nothing could be taken from a file that exists, for a hint.
    pub fn read(files: &dyn Files, path: &Path, environment: &Environment) -> Result<Self, String> {
        let bytes = match files.read(path, CONFIG_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
        };
        Self::parse(&String::from_utf8_lossy(&bytes), environment)
            .map_err(|error| format!("{} is not valid: {error}", path.display()))
    }

    fn parse(text: &str, environment: &Environment) -> Result<Self, String> {
        let root = parse_to_serde_value(text, &ParseOptions::default()).map_err(|error| error.to_string())?;
        let root = root.unwrap_or_default();
        let secret = |pointer: &str| {
            let text = root.pointer(pointer)?.as_str()?;
            let text = match text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
                Some(name) => environment.get(name)?.trim(),
                None => text,
            };
            (!text.is_empty()).then(|| Secret::new(text))
        };
        Ok(Self {
            port: configured_port(&root),
            token: secret("/gateway/auth/token"),
            password: secret("/gateway/auth/password"),
        })
    }
}

/// `gateway.port`, when it is a port.
fn configured_port(root: &serde_json::Value) -> Option<u16> {
    let port = root.pointer("/gateway/port")?.as_u64()?;
    u16::try_from(port).ok().filter(|&port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Configured {
        let environment = Environment::from([("MY_TOKEN".to_owned(), "from-env".to_owned())]);
        Configured::parse(text, &environment).unwrap()
    }

    #[test]
    fn port_and_secrets_are_taken_from_a_file_with_comments() {
        let found = parse("{ // mine\n gateway: { port: 19000, auth: { token: '${MY_TOKEN}', password: 'pw', } } }");
        assert_eq!(found.port, Some(19000));
        assert!(found.token.unwrap().matches("from-env"));
        assert!(found.password.unwrap().matches("pw"));
    }

    #[test]
    fn what_is_absent_or_odd_is_nothing() {
        for text in
            ["", "{}", "[]", "{gateway:{port:0,auth:{token:''}}}", "{gateway:{port:'x',auth:{token:'${NONE}'}}}"]
        {
            let found = parse(text);
            assert!(found.port.is_none() && found.token.is_none() && found.password.is_none(), "{text}");
        }
        assert!(Configured::parse("{gateway:", &Environment::new()).is_err());
    }
}
