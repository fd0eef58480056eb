//! Whether a token or password is good enough (INTEGRATIONS.md section 7, test 2).
//!
//! A weak one is refused where others can reach the port, and only warned about on loopback.

/// Fewest characters of a token that others can try.
const TOKEN_CHARACTERS: usize = 16;
/// Fewest characters of a password that others can try.
const PASSWORD_CHARACTERS: usize = 8;
/// Fewest different characters.
const DIFFERENT_CHARACTERS: usize = 4;

/// Texts that stand in documentation and examples, without the signs between the letters.
const PLACEHOLDERS: &[&str] = &[
    "admin",
    "barnacle",
    "changeit",
    "changeme",
    "changethis",
    "clawdbot",
    "default",
    "example",
    "gateway",
    "gatewaytoken",
    "letmein",
    "mypassword",
    "mysecret",
    "mysecrettoken",
    "mytoken",
    "none",
    "null",
    "pass",
    "passwd",
    "password",
    "password123",
    "placeholder",
    "qwerty",
    "raspberry",
    "replaceme",
    "secret",
    "secretpassword",
    "secrettoken",
    "test",
    "testtoken",
    "todo",
    "token",
    "undefined",
    "xxx",
    "yourgatewaytoken",
    "yourpassword",
    "yourpasswordhere",
    "yoursecret",
    "yoursecrettoken",
    "yoursecrettokenhere",
    "yourtoken",
    "yourtokenhere",
];

/// What kind of secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SecretKind {
    Token,
    Password,
}

/// Why `secret` is weak; `None` when it isn't. The answer doesn't show it.
pub(super) fn weakness(secret: &str, kind: SecretKind) -> Option<String> {
    let characters_min = match kind {
        SecretKind::Token => TOKEN_CHARACTERS,
        SecretKind::Password => PASSWORD_CHARACTERS,
    };
    let letters: String = secret.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let mut different: Vec<char> = secret.chars().collect();
    different.sort_unstable();
    different.dedup();
    if secret.trim().is_empty() {
        Some("it is empty".to_owned())
    } else if PLACEHOLDERS.contains(&letters.as_str()) {
        Some("it is a placeholder that everybody knows".to_owned())
    } else if secret.chars().count() < characters_min {
        Some(format!("it has fewer than {characters_min} characters"))
    } else if different.len() < DIFFERENT_CHARACTERS {
        Some("it repeats a few characters".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_empty_and_placeholder_secrets_are_weak() {
        for weak in [
            "",
            "   ",
            "secret-token",
            "changeme",
            "your-token-here",
            "YOUR_SECRET_TOKEN_HERE",
            "aaaaaaaaaaaaaaaaaaaa",
            "short-8f3a",
        ] {
            assert!(weakness(weak, SecretKind::Token).is_some(), "{weak}");
        }
        assert_eq!(weakness("3f9c0b7a51de4826", SecretKind::Token), None);
        assert_eq!(weakness("herring-9", SecretKind::Password), None);
        assert!(weakness("Password", SecretKind::Password).is_some());
        assert!(weakness("hi-5?", SecretKind::Password).is_some());
    }
}
