//! x
use mapvar::Map;
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn mapvar_x() -> i32 { i32::from(Map::open("x").is_ok()) }
