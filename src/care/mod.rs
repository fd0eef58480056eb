//! What an owner does with a gateway as a whole: keep a copy of it, bring one back, move in from elsewhere, put
//! another program in place, ask what is wrong. Commands do it, never the gateway itself; everything here works on
//! files and other programs, while a gateway runs or without one.

pub mod archive;
pub mod backup;
pub mod doctor;
pub mod import;
pub mod manifest;
pub mod program;
pub mod restore;
pub mod swap;
