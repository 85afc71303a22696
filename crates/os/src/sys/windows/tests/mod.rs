//! Tests of Windows alone, beside those of all systems (`tests/contract.rs`).

#![allow(unsafe_code, reason = "other programs' objects are made by raw calls")]

mod growth;
mod locks;
mod objects;
mod ruby;

use super::names::Wide;
use crate::{Name, Result};
use std::{
    io::{BufRead, BufReader},
    os::windows::io::{FromRawHandle, OwnedHandle},
    process::{Child, Command, Stdio},
    ptr::null_mut,
    sync::atomic::{AtomicUsize, Ordering},
};
use windows_sys::Win32::{
    Foundation::LocalFree,
    Security::{
        Authorization::{ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1},
        SECURITY_ATTRIBUTES,
    },
    System::Threading::CreateMutexW,
};

/// Returns a name that no other test has.
fn fresh(what: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let [random, _] = super::machine::random().unwrap();
    format!("test.{what}.{}.{random:x}", COUNT.fetch_add(1, Ordering::Relaxed))
}

fn fresh_name(what: &str) -> Name {
    Name::new(&fresh(what)).unwrap()
}

/// Creates a mutex as another program would.
fn foreign_mutex(object: &str) -> OwnedHandle {
    let name = Wide::new(object).unwrap();
    // SAFETY: the name lives until after the call and ends with a zero.
    let mutex = unsafe { CreateMutexW(null_mut(), 0, name.as_ptr()) };
    assert!(!mutex.is_null(), "{}", std::io::Error::last_os_error());
    // SAFETY: the call returned this handle, and no other value owns it.
    unsafe { OwnedHandle::from_raw_handle(mutex) }
}

/// Runs `make` with attributes that have the descriptor of this text.
fn with_descriptor<T>(text: &str, make: impl FnOnce(&SECURITY_ATTRIBUTES) -> T) -> T {
    let text = Wide::new(text).unwrap();
    let mut descriptor = null_mut();
    // SAFETY: the text ends with a zero, and the out pointer is valid.
    let done = unsafe {
        ConvertStringSecurityDescriptorToSecurityDescriptorW(
            text.as_ptr(),
            SDDL_REVISION_1,
            &raw mut descriptor,
            null_mut(),
        )
    };
    assert_ne!(done, 0, "{}", std::io::Error::last_os_error());
    let made = make(&SECURITY_ATTRIBUTES {
        nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
        lpSecurityDescriptor: descriptor,
        bInheritHandle: 0,
    });
    // SAFETY: the call above allocated it, and no code uses it any more.
    unsafe { LocalFree(descriptor) };
    made
}

/// A second process: this program, running one of the tests that are otherwise ignored. It is
/// killed when this value is dropped.
struct Second(Child, BufReader<std::process::ChildStdout>);

impl Second {
    /// Starts `test` in a second process, with `argument`.
    fn start(test: &str, argument: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("sys::imp::tests::{test}"), "--ignored", "--nocapture"])
            .env("MAPVAR_TEST_ARGUMENT", argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self(child, out)
    }

    /// Returns the next line that the process has printed after "say ".
    fn hear(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.1.read_line(&mut line).unwrap(), 0, "the second process ended");
            if let Some((_, said)) = line.split_once("say ") {
                return said.trim().into();
            }
        }
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In the second process: returns its argument.
fn argument() -> Option<String> {
    std::env::var("MAPVAR_TEST_ARGUMENT").ok()
}

/// In the second process: prints a line for the first one.
fn say(what: impl std::fmt::Display) {
    println!("say {what}");
}

/// In the second process: waits until it is killed or the first one is gone.
fn stay() {
    let _ = std::io::stdin().read_line(&mut String::new());
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> crate::ErrorKind {
    result.expect_err("an error was due").kind()
}
