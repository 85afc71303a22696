//! The other process: this program again, with other arguments.

use crate::{
    Result,
    peers::{
        Attach, Bell,
        bells::{Futex, Streamed, Watched},
        databases::{Lmdb, Sqlite},
        ours::Ours,
    },
    process::{Process, end_with_parent},
};
use core_affinity::CoreId;
use mapvar::Map;
use memmap2::MmapOptions;
use std::{io::stdin, process::Command, time::Instant};

/// The first argument of a child.
pub const FLAG: &str = "--child";

/// Starts a child on this core.
pub fn start(core: CoreId, arguments: &[&str]) -> Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    Process::start(command.args([FLAG, &core.id.to_string()]).args(arguments))
}

/// Runs as a child.
pub fn run(arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    end_with_parent();
    let [core, arguments @ ..] = arguments.as_slice() else { return Err("no core".into()) };
    core_affinity::set_for_current(CoreId { id: core.parse()? });
    match arguments {
        ["attach", Ours::WORD, address, name] => attach::<Ours>(address, name),
        ["attach", Lmdb::WORD, address, name] => attach::<Lmdb>(address, name),
        ["attach", Sqlite::WORD, address, name] => attach::<Sqlite>(address, name),
        ["bell", Futex::WORD, address] => bell::<Futex>(address),
        ["bell", Watched::WORD, address] => bell::<Watched>(address),
        ["bell", Streamed::WORD, address] => bell::<Streamed>(address),
        ["set", address, bytes] => set(address, bytes.parse()?),
        _ => Err(format!("{FLAG}: {arguments:?}").into()),
    }
}

/// Attaches as many times as each line says; answers the nanoseconds of one.
fn attach<P: Attach>(address: &str, name: &str) -> Result<()> {
    for line in stdin().lines() {
        let count: u64 = line?.parse()?;
        let began = Instant::now();
        for _ in 0..count {
            P::attach(address, name)?;
        }
        println!("{}", began.elapsed().as_nanos() as f64 / count as f64);
    }
    Ok(())
}

fn bell<B: Bell>(address: &str) -> Result<()> {
    let mut bell = B::attach(address)?;
    println!("ready");
    let mut turn = 0_u32;
    loop {
        turn = turn.wrapping_add(1);
        bell.wait_and_ring(turn);
    }
}

/// Sets a variable until it is killed, with so many bytes of memory in use.
fn set(address: &str, bytes: usize) -> Result<()> {
    // The kernel must unmap this when the process dies.
    let _memory = match bytes {
        0 => None,
        _ => Some(MmapOptions::new().len(bytes).populate().map_anon()?),
    };
    let variable = Map::open(address)?.var::<u64>("victim")?;
    println!("ready");
    for number in 0_u64.. {
        variable.set(number)?;
    }
    Ok(())
}
