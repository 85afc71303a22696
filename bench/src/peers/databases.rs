//! Databases, one file each.

pub mod lmdb;
pub mod redb;
pub mod redis;
pub mod sqlite;

pub use {lmdb::Lmdb, redb::Redb, redis::Redis, sqlite::Sqlite};
