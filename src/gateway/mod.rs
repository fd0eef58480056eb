//! The gateway: everything that methods may touch, assembled once and shared as `Rc<Gateway>`.

pub mod auth;
pub mod handshake;
pub mod health;
pub mod presence;
