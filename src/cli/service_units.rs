//! The unit files that the program carries, and where systemd looks for them.

use std::path::{Path, PathBuf};

use super::Environment;
use super::exit::{Exit, Failure};

/// The program's place in the files as they are packaged.
const PACKAGED: &str = "/usr/bin/barnacle";
/// Where an administrator's units are.
const SYSTEM_DIR: &str = "/etc/systemd/system";
/// Where a package's units are.
pub(super) const PACKAGE_DIRS: [&str; 2] = ["/usr/lib/systemd/system", "/lib/systemd/system"];
/// What the system service's sandbox hides: nothing below these can be run by it.
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

/// Name of the gateway's unit.
pub(super) const SERVICE: &str = "barnacle.service";
/// Name of the unit that holds its port.
pub(super) const SOCKET: &str = "barnacle.socket";
/// Name of the unit that holds the entrance for Tailscale Serve.
pub(super) const SERVE_SOCKET: &str = "barnacle-serve.socket";

/// Whose service it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The machine's.
    System,
    /// One user's.
    User,
}

/// The unit files of a service, by name.
pub(super) fn files(owner: Owner, program: &str) -> Vec<(&'static str, String)> {
    let own = |text: &str| text.replace(PACKAGED, program);
    match owner {
        Owner::System => vec![
            (SERVICE, own(include_str!("../../systemd/barnacle.service"))),
            (SOCKET, own(include_str!("../../systemd/barnacle.socket"))),
            (SERVE_SOCKET, own(include_str!("../../systemd/barnacle-serve.socket"))),
        ],
        Owner::User => vec![(SERVICE, own(include_str!("../../systemd/barnacle.user.service")))],
    }
}

/// The directory for them.
pub(super) fn dir(owner: Owner, environment: &Environment) -> Result<PathBuf, Failure> {
    if owner == Owner::System {
        return Ok(PathBuf::from(SYSTEM_DIR));
    }
    let given = |name: &str| environment.get(name).filter(|dir| dir.starts_with('/')).map(PathBuf::from);
    given("XDG_CONFIG_HOME")
        .or_else(|| Some(given("HOME")?.join(".config")))
        .map(|config| config.join("systemd/user"))
        .ok_or_else(|| Failure::new(Exit::Failed, "there is no home directory for the unit file: set HOME"))
}

/// The program as a unit file names it, if a service can run it from where it is.
pub(super) fn runnable(owner: Owner, program: &Path) -> Result<String, Failure> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._+-@".contains(c);
    let moved = |why: String| {
        let text = program.display();
        Err(Failure::new(Exit::Failed, why)
            .hint(format!("sudo install -m 755 '{text}' /usr/local/bin/barnacle, then run it from there")))
    };
    let Some(text) = program.to_str().filter(|text| text.chars().all(is_plain)) else {
        return moved(format!("a unit file can't name {}: only plain letters, digits and ._+-@", program.display()));
    };
    if owner == Owner::System && HIDDEN.iter().any(|dir| program.starts_with(dir)) {
        return moved(format!("the service could not run {text}: its sandbox hides home and temporary directories"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_units_name_the_program_where_it_is_and_nothing_else_changes() {
        for owner in [Owner::System, Owner::User] {
            let packaged = files(owner, PACKAGED);
            for ((name, text), (_, packaged)) in files(owner, "/usr/local/bin/barnacle").into_iter().zip(packaged) {
                assert_eq!(text.replace("/usr/local/bin/barnacle", PACKAGED), packaged, "{name}");
                assert_eq!(text.contains("ExecStart=/usr/local/bin/barnacle run\n"), name == SERVICE, "{name}");
            }
        }
    }

    #[test]
    fn a_program_that_the_service_cannot_run_is_refused_with_the_way_out() {
        let refusal = |owner, path: &str| runnable(owner, Path::new(path)).unwrap_err();
        let home = refusal(Owner::System, "/home/pi/barnacle");
        assert!(home.message.unwrap().contains("hides home"));
        assert_eq!(
            home.hint.unwrap(),
            "sudo install -m 755 '/home/pi/barnacle' /usr/local/bin/barnacle, then run it from there"
        );
        assert!(refusal(Owner::User, "/home/pi/my programs/barnacle").message.unwrap().contains("plain letters"));
        assert_eq!(runnable(Owner::User, Path::new("/home/pi/bin/barnacle")).unwrap(), "/home/pi/bin/barnacle");
        assert_eq!(runnable(Owner::System, Path::new("/opt/b/barnacle")).unwrap(), "/opt/b/barnacle");
    }

    #[test]
    fn a_users_units_are_below_the_users_configuration() {
        let env = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let user = |pairs| dir(Owner::User, &env(pairs));
        assert_eq!(user(&[("HOME", "/home/pi")]).unwrap(), Path::new("/home/pi/.config/systemd/user"));
        assert_eq!(user(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/c")]).unwrap(), Path::new("/c/systemd/user"));
        assert!(user(&[]).is_err());
    }
}
