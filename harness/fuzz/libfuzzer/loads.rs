//! Lies, as bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mapvar_fuzz::loads::Loads;
use std::cell::RefCell;

thread_local! {
    static TARGET: RefCell<Loads> = RefCell::new(Loads::default());
}

fuzz_target!(|bytes: &[u8]| TARGET.with_borrow_mut(|target| target.run_bytes(bytes)));
