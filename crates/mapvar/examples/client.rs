//! Reads the variables that the example `server` has set, from another process.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use mapvar::Map;

fn main() -> mapvar::Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "alpha".into());

    let map = Map::open(&name)?;
    let foo: String = map.get("foo")?;
    let bar: i64 = map.get("bar")?;
    println!("foo = {foo}");
    println!("bar = {bar}");
    map.close()
}
