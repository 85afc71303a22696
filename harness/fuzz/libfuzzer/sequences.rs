//! A sequence of operations, as bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mapvar_fuzz::sequences::Sequences;
use std::cell::RefCell;

thread_local! {
    static TARGET: RefCell<Sequences> = RefCell::new(Sequences::default());
}

fuzz_target!(|bytes: &[u8]| TARGET.with_borrow_mut(|target| target.run_bytes(bytes)));
