//! A wake by the system's own means: a futex in a shared mapping, or two named events.

#![allow(unsafe_code, reason = "what is measured against is the system itself")]

#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;

#[cfg(unix)]
mod unix {
    use crate::waits::start_role;
    use mapvar_harness::{peer::Owned, unique};
    use rustix::{
        mm::{MapFlags, ProtFlags, mmap},
        thread::futex,
    };
    use std::{
        fs::File,
        ptr::null_mut,
        sync::atomic::{AtomicU32, Ordering::SeqCst},
    };

    pub const WHAT: (&str, f64) = ("a raw futex", 1.1);

    /// Polls before a sleep: one, if both processes share a processor.
    static POLLS: AtomicU32 = AtomicU32::new(1);

    fn words(path: &str) -> &'static [AtomicU32; 32] {
        let file = File::options().read(true).write(true).open(path).expect("the file");
        // SAFETY: a new mapping of a whole page at an address that the kernel chooses; it is never
        // unmapped.
        let at = unsafe {
            mmap(null_mut(), 4096, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &file, 0)
        };
        let at: *const [AtomicU32; 32] = at.expect("a mapping").cast();
        // SAFETY: the page stays mapped until the process ends, and is aligned; atomic words have
        // no invalid values.
        unsafe { &*at }
    }

    /// Restricts this process to one processor.
    pub fn pin(processor: usize) -> bool {
        POLLS.store(if processor == 0 { 1 } else { 100 }, SeqCst);
        let mut set = rustix::thread::CpuSet::new();
        set.set(processor);
        rustix::thread::sched_setaffinity(None, &set).is_ok()
    }

    /// Waits until the word differs from `seen`; returns its new value.
    fn wait(word: &AtomicU32, seen: u32) -> u32 {
        // On one processor, more polls would only keep the other process from running.
        let polls = POLLS.load(SeqCst);
        loop {
            for _ in 0..polls {
                let now = word.load(SeqCst);
                if now != seen {
                    return now;
                }
                std::hint::spin_loop();
            }
            let _ = futex::wait(word, futex::Flags::empty(), seen, None);
        }
    }

    fn wake(word: &AtomicU32, value: u32) {
        word.store(value, SeqCst);
        let _ = futex::wake(word, futex::Flags::empty(), 1);
    }

    pub fn echo(path: &str) {
        let words = words(path);
        let mut seen = 0;
        wake(&words[0], 1);
        loop {
            seen = wait(&words[16], seen);
            wake(&words[0], seen + 1);
        }
    }

    pub struct Pinger {
        words: &'static [AtomicU32; 32],
        path: String,
        _echo: Owned,
    }

    impl Pinger {
        pub fn new(processor: &str) -> Self {
            POLLS.store(if processor == "0" { 1 } else { 100 }, SeqCst);
            let path = format!("/dev/shm/mapvar.{}", unique("waits.raw"));
            File::create_new(&path).and_then(|file| file.set_len(4096)).expect("a file");
            let echo = start_role("raw", &[&path, processor]);
            let words = words(&path);
            wait(&words[0], 0);
            Self { words, path, _echo: echo }
        }

        pub fn ping(&self) {
            let before = self.words[0].load(SeqCst);
            wake(&self.words[16], before);
            wait(&self.words[0], before);
        }
    }

    impl Drop for Pinger {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(windows)]
mod windows {
    use crate::waits::start_role;
    use mapvar_harness::{peer::Owned, unique};
    use std::ptr::null;
    use windows_sys::Win32::{
        Foundation::HANDLE,
        System::Threading::{CreateEventW, INFINITE, SetEvent, WaitForSingleObject},
    };

    pub const WHAT: (&str, f64) = ("a raw named event", 1.2);

    pub fn pin(_: usize) -> bool {
        false
    }

    fn event(name: &str) -> HANDLE {
        let wide: Vec<u16> = format!("Local\\{name}").encode_utf16().chain([0]).collect();
        // SAFETY: the name ends with a zero and lives until after the call; no attributes.
        let event = unsafe { CreateEventW(null(), 0, 0, wide.as_ptr()) };
        assert!(!event.is_null(), "an event");
        event
    }

    fn set(event: HANDLE) {
        // SAFETY: the handle is never closed.
        unsafe { SetEvent(event) };
    }

    fn wait(event: HANDLE) {
        // SAFETY: the handle is never closed.
        unsafe { WaitForSingleObject(event, INFINITE) };
    }

    pub fn echo(name: &str) {
        let (ping, pong) = (event(&format!("{name}.ping")), event(&format!("{name}.pong")));
        set(pong);
        loop {
            wait(ping);
            set(pong);
        }
    }

    pub struct Pinger {
        ping: HANDLE,
        pong: HANDLE,
        _echo: Owned,
    }

    impl Pinger {
        pub fn new(processor: &str) -> Self {
            let name = unique("waits.raw");
            let (ping, pong) = (event(&format!("{name}.ping")), event(&format!("{name}.pong")));
            let echo = start_role("raw", &[&name, processor]);
            wait(pong);
            Self { ping, pong, _echo: echo }
        }

        pub fn ping(&self) {
            set(self.ping);
            wait(self.pong);
        }
    }
}
