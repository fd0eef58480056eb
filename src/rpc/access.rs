//! Who may call what (connection.md 4.1): decided on the name asked for, before it is looked up, so
//! that only an admin learns which names exist.

use super::Method;
use crate::error::Error;
use crate::events::Peer;
use crate::wire::Access;
use crate::wire::handshake::Role;

/// Checks the caller's role and scopes.
///
/// # Errors
/// `unauthorized role: …` or `missing scope: …`, in the order of the reference.
pub fn check(caller: &Peer, method: Option<&Method>) -> Result<(), Error> {
    let access = method.map_or(Access::Admin, |method| method.access);
    let role = caller.grant.role;
    match (role, access) {
        (Role::Node, Access::Node | Access::NodeOrRead) | (Role::Device, Access::PairingOrOwnDevice) => return Ok(()),
        (Role::Node | Role::Device, _) | (Role::Operator, Access::Node) => {
            return Err(Error::invalid(format!("unauthorized role: {role}")));
        }
        (Role::Operator, _) => {}
    }
    let allowed: &[&str] = match access {
        Access::Node => &[],
        Access::Read | Access::NodeOrRead => &["operator.read", "operator.write"],
        Access::Write => &["operator.write"],
        Access::Approvals => &["operator.approvals"],
        Access::Pairing | Access::PairingOrOwnDevice => &["operator.pairing"],
        Access::Admin => &["operator.admin"],
    };
    if allowed.iter().any(|scope| caller.has_scope(scope)) {
        return Ok(());
    }
    let missing = allowed.first().copied().unwrap_or_default();
    Err(Error::invalid(format!("missing scope: {missing}")))
}
