//! Creates a map without a file, for the example `client` in another process.
//!
//!     cargo run -p mapvar --example server
//!     cargo run -p mapvar --example client        # in another terminal, while the server waits
//!
//! Both take a map name as an argument; the default is `alpha`.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use mapvar::Map;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "alpha".into());

    let map = Map::options().name(&name).size(2000).create()?;
    map.set("foo", "hello")?;
    map.set("bar", 77)?;
    println!("set foo and bar in the map {name:?}; now start the client. Enter ends it");

    // The map exists as long as a process has it open.
    std::io::stdin().read_line(&mut String::new())?;
    map.close()?;
    println!("closed the map {name:?}");
    Ok(())
}
