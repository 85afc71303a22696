//! Makes a map without a file, for the example `client` in another process.
//!
//!     cargo run -p mapvar --example server
//!     cargo run -p mapvar --example client        # in another terminal, while the first waits
//!
//! Another name than `alpha` may be given to both.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use mapvar::Map;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "alpha".into());

    let map = Map::options().name(&name).size(2000).create()?;
    map.set("foo", "hello")?;
    map.set("bar", 77)?;
    println!("set foo and bar in the map {name:?}; now start the client. Enter ends it");

    // The map lives as long as somebody has it open.
    std::io::stdin().read_line(&mut String::new())?;
    map.close()?;
    println!("closed the map {name:?}");
    Ok(())
}
