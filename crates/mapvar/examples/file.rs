//! Two maps on one file, one after the other: the second reads the variables of the first.
//!
//!     cargo run -p mapvar --example file
//!     cargo run -p mapvar --example file -- test.map

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use mapvar::Map;
use std::path::PathBuf;

fn main() -> mapvar::Result<()> {
    let path = std::env::args_os()
        .nth(1)
        .map_or_else(|| std::env::temp_dir().join("mapvar-example.map"), PathBuf::from);

    let map1 = Map::options().file(&path).size(1024).open_or_create()?;
    map1.set("foo", "hello")?;
    map1.set("bar", 77)?;
    map1.close()?;
    println!("wrote foo and bar to {}", path.display());

    let map2 = Map::options().file(&path).open()?;
    let foo: String = map2.get("foo")?;
    let bar: i64 = map2.get("bar")?;
    println!("read foo = {foo}, bar = {bar}");
    map2.close()
}
