//! The configuration: one JSON5 file, read into types, with every mistake named by file, line and key.

pub mod models;
