//! Pictures of a record, for the README: `cargo xtask bench charts`.
//!
//! They are drawn from the newest record of a full run, or, if there is none, from the newest
//! record. The pictures say which.

mod canvas;
mod growth;
mod peers;
mod record;

use crate::Result;
use record::Record;
use std::path::Path;

/// The argument that draws instead of running legs.
pub const WORD: &str = "charts";

pub fn draw() -> Result<()> {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    let record = Record::newest(&bench.join("record"))?;
    let folder = bench.join("charts");
    std::fs::create_dir_all(&folder)?;
    println!("record: {}", record.path.display());
    for (name, svg) in [("peers", peers::draw(&record)?), ("growth", growth::draw(&record)?)] {
        let path = folder.join(name).with_extension("svg");
        std::fs::write(&path, svg)?;
        println!("chart: {}", path.display());
    }
    Ok(())
}
