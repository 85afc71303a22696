//! Bytes as the map of a gem.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mapvar_fuzz::marshal::Marshal;
use std::cell::RefCell;

thread_local! {
    static TARGET: RefCell<Marshal> = const { RefCell::new(Marshal) };
}

fuzz_target!(|bytes: &[u8]| TARGET.with_borrow_mut(|target| target.run_bytes(bytes)));
