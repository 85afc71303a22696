//! Growth: contiguous pieces, and that nothing is left of them.

use super::{super::memory::pages::BETWEEN, objects::folder, *};
use crate::{ErrorKind, Protection, Section, SectionOptions, View};
use std::{
    cell::Cell,
    fs,
    ptr::{null_mut, without_provenance},
};
use windows_sys::Win32::System::Memory::{
    MEM_RELEASE, MEM_RESERVE, PAGE_NOACCESS, VirtualAlloc, VirtualFree,
};

const GRANULE: usize = 1 << 16;
const MIB: usize = 1 << 20;

/// Returns a file of one granule, and a view of it that can grow to 4 MiB.
fn growing(options: &SectionOptions) -> (Section, View) {
    let section = options.clone().size(GRANULE as u64).open_or_create().unwrap();
    let view = section.view().reserve(4 << 20).map().unwrap();
    (section, view)
}

/// Returns whether these addresses are free.
fn are_free(base: usize, len: usize) -> bool {
    // SAFETY: the call reserves addresses that are not in use, or fails.
    let at = unsafe { VirtualAlloc(without_provenance(base), len, MEM_RESERVE, PAGE_NOACCESS) };
    // SAFETY: the address is the beginning of the reservation, which belongs to this function and
    // is not used. With null the call is not made.
    !at.is_null() && unsafe { VirtualFree(at, 0, MEM_RELEASE) } != 0
}

#[test]
fn nothing_is_left_of_a_view_that_grew() {
    let folder = folder();
    // Another test may take the free addresses first.
    let left = (0..50).all(|round| {
        let (section, view) = growing(&Section::options().file(folder.join("left")));
        let base = view.as_ptr().addr();
        for len in [3 * GRANULE, MIB] {
            section.grow(len as u64).unwrap();
            view.grow(len).unwrap();
        }
        assert!(!are_free(base + 2 * MIB, GRANULE), "what is to come is not kept");
        if round % 2 == 0 {
            view.close().unwrap();
        } else {
            drop(view);
        }
        !are_free(base, 4 * MIB)
    });
    assert!(!left, "pieces or addresses are left");
}

#[test]
fn a_reader_of_half_a_granule_reaches_what_there_is() {
    let folder = folder();
    let path = folder.join("half");
    fs::write(&path, vec![7; 20_000]).unwrap();
    let reader = Section::options().file(&path).protection(Protection::ReadOnly).open().unwrap();
    let view = reader.view().len(16_384).reserve(1 << 20).map().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 20_000, "a reader made it longer");
    assert_eq!(view.reserved(), 20_000);
    view.grow(20_000).unwrap();
    assert_eq!(view.read_string(20_000).unwrap(), vec![7; 20_000]);

    // A writer makes the granule whole, with zeros.
    let writer = Section::options().file(&path).open().unwrap();
    let wide = writer.view().len(20_000).reserve(1 << 20).map().unwrap();
    assert_eq!((wide.len(), wide.reserved()), (20_000, 1 << 20));
    assert_eq!(writer.size().unwrap(), GRANULE as u64);
    wide.grow(GRANULE).unwrap();
    assert_eq!(wide.read_string(GRANULE).unwrap()[20_000..], vec![0; GRANULE - 20_000]);

    let error = view.grow(GRANULE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    let again = reader.view().reserve(1 << 20).map().unwrap();
    assert_eq!((again.len(), again.reserved()), (GRANULE, 1 << 20));
    writer.grow(1 << 20).unwrap();
    again.grow(MIB).unwrap();
}

#[test]
fn an_empty_file_grows() {
    let folder = folder();
    let path = folder.join("empty");
    fs::write(&path, b"").unwrap();
    let section = Section::options().file(&path).open().unwrap();
    section.grow(1).unwrap();
    assert_eq!(section.size().unwrap(), GRANULE as u64);
    section.view().map().unwrap().write_at(GRANULE - 3, b"end").unwrap();
    assert!(fs::read(&path).unwrap().ends_with(b"end"));
}

#[test]
fn a_file_that_only_a_name_leads_to_does_not_grow() {
    let folder = folder();
    let (name, path) = (fresh_name("named"), folder.join("named"));
    let both = Section::options().file(&path).name(name.clone()).size(GRANULE as u64);
    let both = both.create().unwrap();
    let by_name = Section::options().name(name.clone()).open().unwrap();
    assert_eq!(kind(by_name.grow(2 << 16)), ErrorKind::TooLarge);
    both.grow(2 << 16).unwrap();
    assert_eq!(by_name.size().unwrap(), GRANULE as u64);
    // Memory that was not made to grow does not either.
    let fixed = Section::options().size(4096).create().unwrap();
    fixed.grow(4096).unwrap();
    assert_eq!(kind(fixed.grow(4097)), ErrorKind::TooLarge);
}

thread_local! {
    static THIEF: Cell<Option<usize>> = const { Cell::new(None) };
    static STOLEN: Cell<usize> = const { Cell::new(0) };
}

/// Takes a granule of the addresses behind a view in the moment in which they are free, if a test
/// asks for it. `THIEF` is its distance from the first address.
fn steal(at: usize) {
    let Some(distance) = THIEF.take() else { return };
    // SAFETY: the call reserves addresses that are not in use.
    let at = unsafe {
        VirtualAlloc(without_provenance(at + distance), GRANULE, MEM_RESERVE, PAGE_NOACCESS)
    };
    STOLEN.set(at.addr());
}

/// The view reports the failure, is as long as it was, and can be mapped again.
#[test]
fn whoever_takes_the_addresses_behind_a_view_ends_its_growth_and_no_more() {
    let folder = folder();
    for distance in [0, 4 * GRANULE] {
        let (section, view) = growing(&Section::options().file(folder.join("stolen")));
        view.write_at(GRANULE - 3, b"end").unwrap();
        section.grow(5 * GRANULE as u64).unwrap();
        THIEF.set(Some(distance));
        BETWEEN.set(steal);
        let grown = view.grow(5 * GRANULE);
        if THIEF.take().is_some() {
            eprintln!("skipped: with placeholders there is no such moment");
            return grown.unwrap();
        }
        assert_ne!(STOLEN.get(), 0);
        // At distance 0 the piece cannot be mapped; farther behind, it is the last one.
        let reached = if distance == 0 { GRANULE } else { 5 * GRANULE };
        assert_eq!(grown.is_ok(), distance != 0);
        assert_eq!((view.len(), view.reserved()), (reached, reached));
        assert_eq!(kind(view.grow(reached + 1)), ErrorKind::TooLarge);
        assert_eq!(view.read_string(GRANULE).unwrap()[GRANULE - 3..], *b"end");
        let again = section.view().reserve(4 << 20).map().unwrap();
        assert_eq!((again.len(), again.reserved()), (5 * GRANULE, 4 * MIB));
        // SAFETY: the addresses were reserved by `steal`, and no code uses them.
        unsafe { VirtualFree(null_mut::<u8>().with_addr(STOLEN.take()).cast(), 0, MEM_RELEASE) };
        drop((view, again, section));
        fs::remove_file(folder.join("stolen")).unwrap();
    }
}
