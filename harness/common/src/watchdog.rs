//! Ends a harness that hangs or is interrupted, and removes the files that it created.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

static STEPS: AtomicU64 = AtomicU64::new(0);
static DOING: Mutex<String> = Mutex::new(String::new());

/// Notes the current task.
pub fn doing(what: impl Into<String>) {
    *DOING.lock().unwrap_or_else(PoisonError::into_inner) = what.into();
    step();
}

/// Returns the last noted task.
pub fn done_last() -> String {
    DOING.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Notes progress in the current task.
pub fn step() {
    STEPS.fetch_add(1, Relaxed);
}

/// Ends this process from now on when it makes no progress for `each`, and at Ctrl-C. `clean_up`
/// removes what the process created besides its folders; its children see the end of their input.
pub fn watch(each: Duration, clean_up: fn()) {
    // Fails if a handler is already set; that handler ends the process in its own way.
    let _ = ctrlc::set_handler(move || abandon(130, clean_up));
    thread::spawn(move || {
        let (mut last, mut since) = (STEPS.load(Relaxed), Instant::now());
        loop {
            thread::sleep(Duration::from_millis(200).min(each));
            let now = STEPS.load(Relaxed);
            if now != last {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() > each {
                // Standard output may be a pipe that another program parses.
                eprintln!("WRONG: hangs for {each:?}: {}", done_last());
                abandon(101, clean_up);
            }
        }
    });
}

fn abandon(code: i32, clean_up: fn()) -> ! {
    clean_up();
    crate::remove_folders();
    std::process::exit(code)
}
