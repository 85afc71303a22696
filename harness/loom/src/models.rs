//! The models, one file for each question.

use crate::{
    check::{Case, Verdict},
    mem::{LoomMem, Shared, Ways},
    setup::FACTS,
};
use mapvar_engine::store::Store;
use std::sync::Arc;

mod identity;
mod index;
mod read;
mod set;
mod structure;
mod takeover;
mod two_deaths;
mod wait;

/// A process: an engine on the shared memory.
type Process = Store<LoomMem>;

fn process(shared: &Arc<Shared>, me: u32, ways: &Ways) -> Process {
    Store::new(LoomMem::new(shared, me, ways.clone()), &FACTS).expect("a store")
}

/// All cases, the longest first.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(set::cases());
    cases.extend(takeover::cases());
    cases.extend(two_deaths::cases());
    cases.extend(identity::cases());
    cases.extend(structure::cases());
    cases.extend(index::cases());
    cases.extend(read::cases());
    cases.extend(wait::cases());
    cases
}

fn holds(name: &'static str, body: crate::check::Body) -> Case {
    Case { name, verdict: Verdict::Holds, bound: 4, short: 3, dies: false, body }
}

fn caught(name: &'static str, words: &'static [&'static str], body: crate::check::Body) -> Case {
    Case { verdict: Verdict::Caught(words), ..holds(name, body) }
}

fn covered(name: &'static str, body: crate::check::Body) -> Case {
    Case { verdict: Verdict::Covered, ..holds(name, body) }
}
