//! Values of several kinds, by their handles and from other languages, one file each.

pub mod composites;
pub mod handles;
pub mod library;
pub mod outside;
pub mod structs;
