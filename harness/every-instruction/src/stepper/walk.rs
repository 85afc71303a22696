//! A walk through an operation, instruction by instruction. After each it shows the memory as the
//! kernel would leave it if the thread died there.

use super::{
    image,
    stage::Stage,
    trace::{Stop, Tracee},
};

/// A position of the walk.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// Instructions since the beginning.
    pub step: u64,
    /// The next one, by its distance from [`mark_end`](super::trace::mark_end).
    pub instruction: u64,
}

/// Walks from the mark at which the process stands to the next one. Calls `each` for each image
/// that differs from the one before. Returns the number of instructions.
pub fn walk(
    tracee: &Tracee,
    stage: &Stage,
    mut each: impl FnMut(&[u8], At) -> Result<(), String>,
) -> Result<u64, String> {
    let (end, head) = tracee.arguments();
    let (mut memory, mut pending) = (Vec::new(), 0);
    let mut shown: Vec<u8> = Vec::new();
    let (mut mappings, mut step, mut instruction) = (Vec::new(), 0, end);
    let offset = tracee.peek(head as usize + 8);
    loop {
        let now = stage.window.bytes();
        let op_pending = tracee.peek(head as usize + 16);
        let changed = now != memory;
        if changed {
            memory.clear();
            memory.extend_from_slice(now);
        }
        if changed || op_pending != pending {
            pending = op_pending;
            let mut image = memory.clone();
            // The lowest bit encodes the kind of the lock.
            let word = (op_pending & !1).wrapping_add(offset);
            let place = |mappings: &[(u64, u64, u64)]| {
                let within = |(from, to, _): &&(u64, u64, u64)| (*from..*to).contains(&word);
                mappings.iter().find(within).map(|(from, _, offset)| word - from + offset)
            };
            if op_pending != 0 {
                if place(&mappings).is_none() {
                    mappings = tracee.mappings(stage.inode);
                }
                if let Some(at) = place(&mappings) {
                    image::owner_dies(&mut image, at, tracee.pid().cast_unsigned());
                }
            }
            if image != shown {
                shown = image;
                let instruction = instruction.wrapping_sub(end);
                each(&shown, At { step, instruction })?;
            }
        }
        match tracee.step() {
            Stop::Mark => {}
            Stop::Signal(signal) => {
                return Err(format!("signal {signal} after {step} instructions"));
            }
            Stop::Ended(status) => {
                return Err(format!("it ended ({status:#x}) after {step} instructions"));
            }
        }
        step += 1;
        instruction = tracee.instruction();
        if instruction == end {
            break;
        }
    }
    match tracee.go() {
        Stop::Mark => Ok(step),
        other => Err(format!("{other:?} at the end")),
    }
}

/// Returns the function and line of an instruction, and the callers into which it is inlined.
pub fn name_of(instruction: u64) -> String {
    let at = (super::trace::mark_end as *const () as u64).wrapping_add(instruction);
    let mut names = Vec::new();
    backtrace::resolve(at as *mut _, |symbol| {
        let place = symbol.filename().zip(symbol.lineno()).zip(symbol.name());
        let Some(((file, line), name)) = place else { return };
        // Frames of the standard library are left out.
        if file.components().any(|part| part.as_os_str() == "crates") {
            let name = format!("{name:#}");
            let name = name.split('<').next().unwrap_or_default();
            let name = name.rsplit("::").next().unwrap_or_default();
            let file = file.file_name().unwrap_or_default().to_string_lossy();
            names.push(format!("{name} ({file}:{line})"));
        }
    });
    if names.is_empty() { "a line of another library".into() } else { names.join(" in ") }
}
