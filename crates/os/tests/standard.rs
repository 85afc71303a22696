//! A program whose standard input, output and error are closed (Unix).

#![cfg(unix)]
#![allow(unsafe_code, reason = "fork, and descriptors that are closed by their number")]
#![allow(
    clippy::unwrap_used,
    clippy::undocumented_unsafe_blocks,
    reason = "a test, also where clippy does not see it: what is not as expected ends it"
)]

use mapvar_os::{Name, Section, SectionOptions};
use std::{
    env, fs,
    os::fd::{AsFd, AsRawFd},
};

/// Whether what the program prints stays out of a section.
fn stays_out(section: &Section) -> bool {
    let garbage = b"garbage";
    let written = (0..3)
        .map(|fd| unsafe { libc::write(fd, garbage.as_ptr().cast(), garbage.len()) })
        .all(|written| written == -1);
    let view = section.view().map().unwrap();
    let mut bytes = [1; 16];
    view.read_at(0, &mut bytes).unwrap();
    written && section.as_fd().as_raw_fd() > 2 && bytes == [0; 16]
}

fn all_stay_out(options: &SectionOptions, again: bool) -> bool {
    let section = options.create().unwrap();
    let opened = again.then(|| options.open().unwrap());
    stays_out(&section) && opened.as_ref().is_none_or(stays_out)
}

#[test]
fn what_a_program_prints_goes_into_no_section() {
    let pid = std::process::id();
    let path = env::temp_dir().join(format!("mapvar-standard.{pid}"));
    let name = Name::new(&format!("standard{pid}")).unwrap();
    let native = format!("mapvar-standard{pid}");
    let sections = [
        (Section::options().size(4096), false),
        (Section::options().size(4096).file(&path), true),
        (Section::options().size(4096).name(name), true),
        (Section::options().size(4096).name(Name::native(&native).unwrap()), true),
    ];
    for (at, (options, again)) in sections.iter().enumerate() {
        // Each number alone, and all of them.
        for closed in [0..1, 1..2, 2..3, 0..3] {
            let _ = fs::remove_file(&path);
            let child = unsafe { libc::fork() };
            if child == 0 {
                for number in 0..3 {
                    unsafe { libc::close(number) };
                    if !closed.contains(&number) {
                        // For reading, so that nothing can be printed.
                        let end = unsafe { libc::open(c"/".as_ptr(), libc::O_RDONLY) };
                        // The numbers below are closed too.
                        unsafe { libc::dup2(end, number) };
                        if end != number {
                            unsafe { libc::close(end) };
                        }
                    }
                }
                let code = i32::from(!all_stay_out(options, *again));
                unsafe { libc::_exit(code) };
            }
            let mut status = -1;
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            assert_eq!(status, 0, "options {at}, closed {closed:?}");
            #[cfg(target_os = "linux")]
            let _ = fs::remove_file(format!("/dev/shm/{native}"));
        }
    }
    let _ = fs::remove_file(&path);
}
