//! Without the feature `gem`, a map of the gem is an error that names the feature.
#![cfg(not(feature = "gem"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by a panic"
)]

use common::unique;
use mapvar::{ErrorKind, Format, Map};

mod common;

#[test]
fn a_map_of_the_gem_is_refused_and_the_message_names_the_feature() {
    let options = Map::options().name(unique("no-gem")).format(Format::Marshal);
    for error in [options.create().unwrap_err(), options.open().unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("feature `gem`"), "{error}");
    }
}
