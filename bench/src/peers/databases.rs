//! Databases, one file each.

pub mod lmdb;
pub mod redb;
pub mod sqlite;

pub use {lmdb::Lmdb, redb::Redb, sqlite::Sqlite};
