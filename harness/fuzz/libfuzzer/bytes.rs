//! Bytes as a region: pairs of offset and word.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mapvar_fuzz::bytes::Bytes;
use std::cell::RefCell;

thread_local! {
    static TARGET: RefCell<Bytes> = RefCell::new(Bytes::default());
}

fuzz_target!(|bytes: &[u8]| TARGET.with_borrow_mut(|target| target.run_bytes(bytes)));
