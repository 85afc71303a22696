//! The gem's lock, and the deaths of its owners.

use super::{Second, Wide, argument, fresh, kind, say, stay};
use crate::{ErrorKind, Name, RubyLock, Scope, Section, SectionOptions};
use std::{
    os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle},
    ptr::null_mut,
    time::Duration,
};
use windows_sys::Win32::{
    Foundation::WAIT_OBJECT_0,
    System::Threading::{CreateSemaphoreW, ReleaseSemaphore, WaitForSingleObject},
};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(200);

fn options(name: &str) -> SectionOptions {
    Section::options().name(Name::of_gem(name, Scope::Local).unwrap()).size(4096)
}

fn create(name: &str) -> (Section, RubyLock) {
    RubyLock::create(&options(name), LONG, |view| view.write_at(0, &[4, 8, b'{', 0])).unwrap()
}

fn open(name: &str) -> (Section, RubyLock) {
    let section = options(name).open().unwrap();
    let lock = RubyLock::of(&section).unwrap();
    (section, lock)
}

/// Opens the semaphore as a program of the gem does, which keeps it open as long as it lives.
fn semaphore(name: &str) -> OwnedHandle {
    let name = Wide::new(format!("{name}.ruby_lock")).unwrap();
    // SAFETY: the name lives until after the call and ends with a zero.
    let semaphore = unsafe { CreateSemaphoreW(null_mut(), 1, 1, name.as_ptr()) };
    assert!(!semaphore.is_null(), "{}", std::io::Error::last_os_error());
    // SAFETY: the call returned this handle, and no other value owns it.
    unsafe { OwnedHandle::from_raw_handle(semaphore) }
}

fn seize(semaphore: &OwnedHandle) {
    // SAFETY: the handle is open for as long as it is borrowed.
    let code = unsafe { WaitForSingleObject(semaphore.as_raw_handle(), 20_000) };
    assert_eq!(code, WAIT_OBJECT_0);
}

fn post(semaphore: &OwnedHandle) {
    // SAFETY: the handle is open; the pointer for the former count may be null.
    assert_ne!(unsafe { ReleaseSemaphore(semaphore.as_raw_handle(), 1, null_mut()) }, 0);
}

#[test]
#[ignore = "the second process of the tests here"]
fn holds_the_lock() {
    let Some(name) = argument() else { return };
    let (_section, lock) = open(&name);
    let _held = lock.take(LONG).unwrap();
    say("held");
    stay();
}

#[test]
#[ignore = "the second process of the tests here"]
fn has_the_map_open() {
    let Some(name) = argument() else { return };
    let (_section, lock) = open(&name);
    lock.take(LONG).unwrap().give().unwrap();
    say("open");
    stay();
}

#[test]
#[ignore = "the second process of the tests here"]
fn holds_it_as_the_gem() {
    let Some(name) = argument() else { return };
    let semaphore = semaphore(&name);
    seize(&semaphore);
    say("held");
    stay();
}

/// While a program of the gem lives, the handles do not tell that the owner is dead; but the owner
/// was of this crate, and the system tells.
#[test]
fn an_owner_of_ours_that_is_killed_beside_a_living_gem_is_replaced() {
    let name = fresh("ruby-killed");
    let (_section, lock) = create(&name);
    let gem = semaphore(&name);
    for _ in 0..5 {
        let mut other = Second::start("ruby::holds_the_lock", &name);
        assert_eq!(other.hear(), "held");
        assert_eq!(kind(lock.take(SHORT)), ErrorKind::TimedOut, "taken from a living owner");
        other.kill();
        let held = lock.take(LONG).unwrap();
        assert!(held.recovered());
        assert!(held.give().unwrap().exclusive);
        // The count is exact: the gem gets the lock once.
        seize(&gem);
        assert_eq!(kind(lock.take(SHORT)), ErrorKind::TimedOut, "taken from the gem");
        post(&gem);
        assert!(!lock.take(LONG).unwrap().recovered());
    }
}

/// The handles of processes of this crate are not taken for those of a living gem.
#[test]
fn an_owner_of_the_gem_that_is_killed_is_replaced_beside_processes_of_ours() {
    let name = fresh("ruby-gem-killed");
    let (_section, lock) = create(&name);
    let (_again, second) = open(&name);
    let mut idle = Second::start("ruby::has_the_map_open", &name);
    assert_eq!(idle.hear(), "open");
    let mut gem = Second::start("ruby::holds_it_as_the_gem", &name);
    assert_eq!(gem.hear(), "held");
    assert_eq!(kind(lock.take(SHORT)), ErrorKind::TimedOut, "taken from a living gem");
    gem.kill();
    let held = lock.take(LONG).unwrap();
    assert!(held.recovered());
    // Nor is it taken from this thread, which may own the mutex twice.
    assert_eq!(kind(second.take(SHORT)), ErrorKind::TimedOut);
    assert_eq!(kind(second.unlock(false)), ErrorKind::TimedOut);
    assert!(held.give().unwrap().exclusive);
    assert!(!second.take(LONG).unwrap().recovered());
    assert!(!lock.unlock(false).unwrap());
}
