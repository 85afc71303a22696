//! Tests of internals that a C test cannot observe.
#![allow(unsafe_code, reason = "the border: pointers from C, and exported names")]

use crate::base::{codes, errors};
use mapvar::{ErrorKind, Kind};
use std::{ffi::CStr, hint::black_box, time::Instant};

#[test]
fn each_kind_of_error_has_its_number_and_name() {
    assert_eq!(errors::NAMES.len(), ErrorKind::ALL.len() + 2);
    for kind in ErrorKind::ALL {
        let number = codes::of(*kind);
        assert_eq!(number, i32::from(kind.number()));
        let (_, name) = errors::NAMES.iter().find(|(code, _)| *code == number).unwrap();
        assert_eq!(name.to_str(), Ok(kind.name()));
    }
}

#[test]
fn each_kind_of_value_has_its_number() {
    let numbers: Vec<u32> = Kind::ALL.iter().map(|kind| *kind as u32).collect();
    assert_eq!(numbers, (codes::MAPVAR_KIND_NIL..=codes::MAPVAR_KIND_STRUCT).collect::<Vec<_>>());
}

#[test]
fn a_panic_ends_at_the_border() {
    let code = errors::run_call("mapvar_test", || panic!("deliberate"));
    assert_eq!(code, codes::MAPVAR_PANICKED);
    assert_eq!(errors::mapvar_last_error(), code);
    let message = errors::mapvar_last_error_message();
    // SAFETY: the text ends with a NUL and lives until the thread's next error.
    let message = unsafe { CStr::from_ptr(message) }.to_str().unwrap();
    assert!(message.contains("mapvar_test") && message.contains("deliberate"), "{message}");
}

#[test]
#[ignore = "a measurement: cargo test --release -p mapvar-c -- --ignored --nocapture cost"]
fn the_cost_of_the_table_beside_the_call_of_rust() {
    use crate::{base::handles, maps::map::mapvar_map_get_i64, variable::vars::mapvar_var_get_i64};
    const ROUNDS: u32 = 2_000_000;
    let name = format!("mapvar-c-cost.{}", std::process::id());
    let map = mapvar::Map::options().name(&name).create().unwrap();
    map.set("count", 7).unwrap();
    let var = map.var::<mapvar::Value>("count").unwrap();
    let of_map = handles::open::<crate::base::types::mapvar_map>(map.clone()).unwrap();
    let of_var = handles::open::<crate::base::types::mapvar_var>(var.clone()).unwrap();
    let time = |what: &str, call: &mut dyn FnMut() -> i64| {
        let began = Instant::now();
        for _ in 0..ROUNDS {
            assert_eq!(black_box(call()), 7);
        }
        println!("{what}: {:.1} ns", began.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS));
    };
    time("Map::get", &mut || map.get("count").unwrap());
    time("mapvar_map_get_i64", &mut || {
        let mut out = std::mem::MaybeUninit::new(0);
        // SAFETY: five bytes of text.
        let code = unsafe { mapvar_map_get_i64(of_map, c"count".as_ptr(), 5, Some(&mut out)) };
        assert_eq!(code, 0);
        // SAFETY: it was initialised above.
        unsafe { out.assume_init() }
    });
    time("Var::get", &mut || var.get_as().unwrap());
    time("mapvar_var_get_i64", &mut || {
        let mut out = std::mem::MaybeUninit::new(0);
        assert_eq!(mapvar_var_get_i64(of_var, Some(&mut out)), 0);
        // SAFETY: it was initialised above.
        unsafe { out.assume_init() }
    });
}
