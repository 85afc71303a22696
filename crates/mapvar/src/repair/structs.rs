//! The plain structs that no reader can turn into fields. The engine does not know of layouts: to it
//! such a value is whole.

use crate::{
    map::store_map::Stored,
    plain::{Flaw, Found, Layout, PREFIX, description_of, dict, name_of, number},
};
use mapvar_engine::{
    error::EngineError,
    handle::Handle,
    inspect::findings::{Check, Finding},
    mem::Mem,
    record::read::Seen,
    store::Store,
    value::{Data, Kind, OwnedValue, SlotView},
};
use mapvar_os::{Error, ErrorKind, Result};
use std::collections::{HashMap, hash_map::Entry};

/// The most structs and layouts that a check lists.
const MOST: usize = 10_000;

/// The layouts by which structs are read, or why there is none.
#[derive(Default)]
pub(super) struct Judge(HashMap<u32, std::result::Result<Layout, Flaw>>);

impl Judge {
    /// Returns what is wrong with a value if it is a struct that no reader can read. `layout` finds
    /// the layout of this number.
    fn flaw(
        &mut self,
        value: &OwnedValue,
        layout: impl FnOnce(u32) -> Result<std::result::Result<Layout, Flaw>, EngineError>,
    ) -> Result<Option<String>, EngineError> {
        let Data::Bytes(bytes) = &value.data else { return Ok(None) };
        if value.kind != Kind::Plain as u8 {
            return Ok(None);
        }
        let layout = match self.0.entry(value.type_id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(entry) => entry.insert(layout(value.type_id)?),
        };
        let read = layout.as_ref().map_err(Clone::clone).and_then(|layout| dict(layout, bytes));
        Ok(read.err().filter(Flaw::is_damage).map(|flaw| flaw.detail))
    }

    /// Gives the other map the layout of a value that is a struct, if the layout is whole; returns
    /// what is wrong if no reader of the other map can read the struct. `find` finds the layout of
    /// this number.
    pub(super) fn carry(
        &mut self,
        value: &OwnedValue,
        into: &Stored,
        find: impl FnOnce(u32) -> Result<Found, EngineError>,
    ) -> Result<Option<String>, EngineError> {
        let theirs = &into.inner.store;
        self.flaw(value, |id| {
            let found = find(id)?;
            let ours = found.layout(id);
            if let Found::Description(bytes) = &found
                && !ours.as_ref().is_err_and(Flaw::is_damage)
            {
                into.inner.layouts.publish_description(theirs, bytes)?;
            }
            // The other map may have had it before.
            Ok(description_of(theirs, id)?.layout(id).or(ours))
        })
    }
}

/// Returns what the hidden variable of this name holds.
pub(super) fn found(name: &str, value: Option<&OwnedValue>) -> Found {
    match value {
        None => Found::Absent,
        Some(OwnedValue { kind, data: Data::Bytes(bytes), .. })
            if *kind == Kind::Bytes as u8 && name_of(number(bytes)) == name =>
        {
            Found::Description(bytes.clone())
        }
        Some(_) => Found::Damaged,
    }
}

/// Adds to a check the structs that no reader can read, and the damaged layouts.
///
/// # Errors
/// [`TimedOut`](ErrorKind::TimedOut) once `late` returns true.
pub(super) fn checked<M: Mem>(
    store: &Store<M>,
    check: &Check,
    late: &dyn Fn() -> bool,
) -> Result<Check, EngineError> {
    let mut judge = Judge::default();
    let (mut findings, mut more) = (Vec::new(), 0_u64);
    // An error of a record, or of the walk, is among the findings of the engine.
    let _ = store.each_record(|handle| {
        if let Ok(Some(finding)) = finding(store, handle, &mut judge) {
            if findings.len() < MOST {
                findings.push(finding);
            } else {
                more += 1;
            }
        }
        !late()
    });
    if late() {
        return Err(Error::new(ErrorKind::TimedOut, "", "")
            .detail(
                "it takes longer than it may; give it a longer time (`recovery_timeout`, \
                 `--timeout`), as the size of its data asks for",
            )
            .into());
    }
    if findings.is_empty() {
        return Ok(check.clone());
    }
    if more > 0 {
        let at = store.chunk_count().unwrap_or_default() * mapvar_engine::layout::CHUNK;
        let what = format!("{more} more structs that cannot be read are not listed");
        findings.push(Finding::fault(at, what));
    }
    findings.extend_from_slice(check.findings());
    findings.sort_by_key(|finding| finding.at);
    Ok(Check::new(findings, check.variables()))
}

fn finding<M: Mem>(
    store: &Store<M>,
    handle: Handle,
    judge: &mut Judge,
) -> Result<Option<Finding>, EngineError> {
    let is_layout = store.begins_with(handle.at, 0)
        && store.name_of(handle.at).is_some_and(|name| name.starts_with(PREFIX.as_bytes()));
    let take = |view: SlotView<'_, M>| {
        (is_layout || view.kind() == Kind::Plain as u8).then(|| view.capture())
    };
    let Seen::Value(Some(value), _) = store.read(handle, take)? else { return Ok(None) };
    let value = value?;
    let Some(Ok(name)) = store.name_of(handle.at).map(String::from_utf8) else { return Ok(None) };
    if is_layout {
        let id = name.trim_start_matches(PREFIX);
        let is_whole = !found(&name, Some(&value)).layout(0).is_err_and(|flaw| flaw.is_damage());
        let what = format!("the layout {id} of plain structs is damaged");
        return Ok((!is_whole).then(|| Finding::fault(handle.at, what)));
    }
    let flaw = judge.flaw(&value, |id| Ok(description_of(store, id)?.layout(id)))?;
    Ok(flaw.map(|flaw| {
        let mut finding = Finding::fault(handle.at, flaw);
        finding.variable = Some(name);
        finding
    }))
}
