//! The other process: this program again, with other arguments.

use crate::{
    Result,
    peers::{
        Attach, Bell,
        databases::{Lmdb, Sqlite},
        futex::{Futex, Watched},
        ours::Ours,
    },
};
use core_affinity::CoreId;
use mapvar::Map;
use memmap2::MmapOptions;
use std::{
    io::{BufRead as _, BufReader, Lines, Write as _, stdin},
    process::{self, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

/// The first argument of a child.
pub const FLAG: &str = "--child";

/// A process that ends when this is dropped.
pub struct Child {
    process: process::Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts a child on this core.
    pub fn start(core: CoreId, arguments: &[&str]) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([FLAG, &core.id.to_string()])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let questions = process.stdin.take().ok_or("no pipe to the child")?;
        let answers = process.stdout.take().ok_or("no pipe from the child")?;
        Ok(Self { process, questions, answers: BufReader::new(answers).lines() })
    }

    pub fn ask(&mut self, question: impl std::fmt::Display) -> Result<String> {
        writeln!(self.questions, "{question}")?;
        self.answer()
    }

    pub fn answer(&mut self) -> Result<String> {
        Ok(self.answers.next().ok_or("the child ended")??)
    }

    /// Ends the child, as a crash does. It may still be ending when this returns.
    pub fn kill(&mut self) -> Result<()> {
        Ok(self.process.kill()?)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// Runs as a child.
pub fn run(arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // A child that outlives the run would keep a core busy.
    // SAFETY: the call only sets the signal that this process gets when its parent dies.
    #[allow(unsafe_code, reason = "a system call")]
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)
    };
    let [core, arguments @ ..] = arguments.as_slice() else { return Err("no core".into()) };
    core_affinity::set_for_current(CoreId { id: core.parse()? });
    match arguments {
        ["attach", Ours::WORD, address, name] => attach::<Ours>(address, name),
        ["attach", Lmdb::WORD, address, name] => attach::<Lmdb>(address, name),
        ["attach", Sqlite::WORD, address, name] => attach::<Sqlite>(address, name),
        ["bell", Futex::WORD, address] => bell::<Futex>(address),
        ["bell", Watched::WORD, address] => bell::<Watched>(address),
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
