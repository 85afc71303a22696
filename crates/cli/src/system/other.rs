//! Windows: the events of a console.

use super::Event;
use std::{path::Path, process::Child, sync::mpsc};

/// The console sends its events to the child as well, so nothing has to be passed on.
pub(crate) const REPORTS_CHILDREN: bool = false;

/// A child inherits by itself that this process ignores Ctrl-C.
pub(crate) fn catch(sender: mpsc::Sender<Event>, _: bool) -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(move || {
        let _ = sender.send(Some(0));
    })
}

pub(crate) fn pass_on(_: i32, _: &Child) {}

/// Not known: Windows removes no file that a process has mapped.
pub(crate) const fn lives(_: u32) -> bool {
    false
}

/// The most bytes of a variable of the environment. Windows has variables of up to 32,767
/// characters, and reports no error for a longer one.
pub(crate) const LONGEST_VARIABLE: Option<usize> = Some(32_000);

/// The access list of a file is not checked.
pub(crate) const fn foreign_and_open_to_others(_: &Path) -> Option<u32> {
    None
}
