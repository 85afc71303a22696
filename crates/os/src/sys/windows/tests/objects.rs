//! Sections: their owners, other objects with their names, their sizes.

use super::*;
use crate::{Access, Attach, ErrorKind, Origin, Protection, Scope, Seats, Section, SectionFlags};
use std::{
    fs,
    os::windows::io::{AsHandle, AsRawHandle},
    path::PathBuf,
    time::Duration,
};
use windows_sys::Win32::{
    Foundation::{GetHandleInformation, HANDLE_FLAG_INHERIT, INVALID_HANDLE_VALUE},
    System::Memory::{CreateFileMappingW, PAGE_READWRITE},
};

/// A folder of one test, removed with all its files. Its handles are closed before.
pub(super) struct Folder(PathBuf);

pub(super) fn folder() -> Folder {
    let folder = std::env::temp_dir().join(fresh("mapvar"));
    fs::create_dir(&folder).unwrap();
    Folder(folder)
}

impl std::ops::Deref for Folder {
    type Target = PathBuf;

    fn deref(&self) -> &PathBuf {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Creates a section in the page file as another program would; `None` if Windows refuses the
/// descriptor.
fn foreign_section(object: &str, attributes: *const SECURITY_ATTRIBUTES) -> Option<OwnedHandle> {
    let name = Wide::new(object).unwrap();
    // SAFETY: name and attributes live until after the call, and the name ends with a zero.
    let section = unsafe {
        CreateFileMappingW(INVALID_HANDLE_VALUE, attributes, PAGE_READWRITE, 0, 4096, name.as_ptr())
    };
    // SAFETY: the call returned this handle, and no other value owns it.
    (!section.is_null()).then(|| unsafe { OwnedHandle::from_raw_handle(section) })
}

#[test]
fn another_kind_of_object_that_bears_the_name_is_told() {
    let name = fresh_name("taken");
    let _mutex = foreign_mutex(&format!("Local\\{name}"));
    let options = Section::options().name(name.clone()).size(4096);
    assert_eq!(kind(options.open()), ErrorKind::NameTaken);
    assert_eq!(kind(options.create()), ErrorKind::NameTaken);
    let error = options.open_or_create().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NameTaken);
    assert!(error.to_string().contains("another kind"), "{error}");

    let name = fresh_name("taken");
    let _init = foreign_section(&format!("Local\\{name}.init"), null_mut()).unwrap();
    assert_eq!(kind(Section::options().name(name).size(1).create()), ErrorKind::NameTaken);
}

#[test]
fn an_object_that_lets_nobody_in_is_told() {
    let name = fresh_name("denied");
    let object = format!("Local\\{name}");
    let _section = with_descriptor("D:P", |sa| foreign_section(&object, sa)).unwrap();
    let options = Section::options().name(name).size(4096);
    assert_eq!(kind(options.open()), ErrorKind::PermissionDenied);
    assert_eq!(kind(options.create()), ErrorKind::PermissionDenied);
    assert_eq!(kind(options.open_or_create()), ErrorKind::PermissionDenied);
}

#[test]
fn a_denied_global_name_tells_of_the_privilege() {
    let name = Name::global(&fresh("denied")).unwrap();
    let object = format!("Global\\{name}");
    let _section = with_descriptor("D:P", |sa| foreign_section(&object, sa)).unwrap();
    let error = Section::options().name(name).size(4096).create().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("SeCreateGlobalPrivilege"), "{error}");
}

#[test]
fn what_another_user_made_is_not_trusted_but_by_its_native_name() {
    let name = fresh_name("foreign");
    let object = format!("Local\\{name}");
    // Windows lets only privileged users name another owner; Wine lets all users.
    let section = with_descriptor("O:SYD:(A;;GA;;;WD)", |sa| foreign_section(&object, sa));
    let Some(_section) = section else {
        eprintln!("skipped: this user may not name another owner");
        return;
    };
    let options = Section::options().size(4096);
    let ours = options.clone().name(name);
    assert_eq!(kind(ours.open()), ErrorKind::ForeignOwner);
    assert_eq!(kind(ours.open_or_create()), ErrorKind::ForeignOwner);
    assert_eq!(kind(ours.create()), ErrorKind::AlreadyExists);
    let native = options.name(Name::native(&object).unwrap()).open().unwrap();
    native.view().map().unwrap().write_at(0, b"x").unwrap();
}

#[test]
fn what_we_make_is_ours_and_private() {
    let name = fresh_name("ours");
    let section = Section::options().name(name).size(1).create().unwrap();
    assert!(super::super::security::is_ours(section.as_handle()).unwrap());
    let anonymous = Section::options().size(1).create().unwrap();
    assert!(super::super::security::is_ours(anonymous.as_handle()).unwrap());
    let folder = folder();
    let path = folder.join("ours");
    let file = Section::options().file(&path).size(1).create().unwrap();
    let file = file.shared.sys.file.as_ref().unwrap().as_handle();
    assert!(super::super::security::is_ours(file).unwrap());
}

#[test]
fn sizes_are_exact_for_files_and_whole_pages_for_the_page_file() {
    let name = fresh_name("size");
    let named = Section::options().name(name.clone()).size(5000).create().unwrap();
    assert_eq!(named.size().unwrap(), 8192);
    assert_eq!(Section::options().name(name).open().unwrap().size().unwrap(), 8192);
    let folder = folder();
    let path = folder.join("sized");
    let file = Section::options().file(&path).size(5000).create().unwrap();
    assert_eq!(file.size().unwrap(), 5000);
    assert_eq!(super::super::memory::pages::size_by_view(file.as_handle()).unwrap(), 8192);
    assert_eq!(fs::metadata(&path).unwrap().len(), 5000);
}

#[test]
fn a_foreign_section_that_tells_no_size_is_measured() {
    let object = format!("Local\\{}", fresh("mute"));
    // SECTION_MAP_READ | SECTION_MAP_WRITE for all users: no query, no control.
    let section = with_descriptor("D:P(A;;0x6;;;WD)", |sa| foreign_section(&object, sa)).unwrap();
    let found = Section::options().name(Name::native(&object).unwrap()).open().unwrap();
    assert_eq!(found.size().unwrap(), 4096);
    drop(section);
}

#[test]
fn a_name_over_a_file_leads_to_the_same_bytes() {
    let folder = folder();
    let (name, path) = (fresh_name("both"), folder.join("both"));
    let both = Section::options().file(&path).name(name.clone()).size(5000);
    let first = both.create().unwrap();
    first.view().map().unwrap().write_at(4990, b"same").unwrap();
    assert_eq!(kind(both.create()), ErrorKind::AlreadyExists);

    let by_name = Section::options().name(name.clone()).open().unwrap();
    assert_eq!(by_name.size().unwrap(), 5000);
    assert_eq!(by_name.view().map().unwrap().read_string(4994).unwrap()[4990..], *b"same");
    let by_both = both.open().unwrap();
    assert_eq!(by_both.view().map().unwrap().read_string(4994).unwrap()[4990..], *b"same");
    by_both.view().map().unwrap().flush_durable(0..5000).unwrap();
    drop((first, by_name, by_both));

    // The name goes with its last handle; the file stays, and can have the name again.
    assert_eq!(kind(Section::options().name(name).open()), ErrorKind::NotFound);
    assert_eq!(both.open_or_create().unwrap().origin(), Origin::Opened);
}

#[test]
fn a_name_that_leads_elsewhere_is_not_taken_for_the_file() {
    let (name, folder) = (fresh_name("both"), folder());
    let _memory = Section::options().name(name.clone()).size(4096).create().unwrap();
    let path = folder.join("one");
    let both = Section::options().file(&path).name(name).size(4096);
    assert_eq!(kind(both.create()), ErrorKind::AlreadyExists);
    assert!(!path.exists());
    Section::options().file(&path).size(4096).create().unwrap();
    assert_eq!(kind(both.open()), ErrorKind::NameTaken);

    let name = fresh_name("both");
    let other = Section::options().file(folder.join("two")).name(name.clone()).size(4096);
    let _other = other.create().unwrap();
    let both = Section::options().file(&path).name(name).size(4096);
    assert_eq!(kind(both.open()), ErrorKind::NameTaken);
    assert_eq!(fs::read_dir(&*folder).unwrap().count(), 2, "something was left behind");
}

#[test]
fn a_file_that_is_open_elsewhere_alone_is_waited_for() {
    use std::os::windows::fs::OpenOptionsExt;
    let folder = folder();
    let path = folder.join("alone");
    fs::write(&path, [0; 100]).unwrap();
    let alone = fs::OpenOptions::new().read(true).write(true).share_mode(0).open(&path).unwrap();
    let options = Section::options().file(&path);
    let error = options.clone().timeout(Duration::from_millis(50)).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("close it in that program"), "{error}");
    let closer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(alone);
    });
    assert_eq!(options.open().unwrap().size().unwrap(), 100);
    closer.join().unwrap();
}

#[test]
fn devices_pipes_and_images_are_told_apart() {
    for device in [r"NUL", r"\\.\NUL", r"C:\"] {
        let error = Section::options().file(device).open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NameTaken, "{device}: {error}");
    }
    let program = std::env::current_exe().unwrap();
    let image = Section::options().file(&program).flags(SectionFlags::IMAGE);
    assert_eq!(kind(image.open()), ErrorKind::InvalidArgument);
    let image = image.protection(Protection::ReadOnly).open().unwrap();
    let view = image.view().len(4096).map().unwrap();
    assert_eq!(view.read_string(2).unwrap(), b"MZ");
    let copy = image.view().access(Access::CopyOnWrite).map();
    assert_eq!(kind(copy), ErrorKind::ReadOnly);
    let folder = folder();
    let path = folder.join("no program");
    fs::write(&path, [0; 100]).unwrap();
    let none = Section::options().file(&path).flags(SectionFlags::IMAGE);
    assert_eq!(kind(none.protection(Protection::ReadOnly).open()), ErrorKind::InvalidArgument);
}

#[test]
fn sizes_that_windows_cannot_count_are_refused() {
    for size in [1 << 63, u64::MAX] {
        assert_eq!(kind(Section::options().size(size).create()), ErrorKind::TooLarge);
        let folder = folder();
        let path = folder.join("large");
        assert_eq!(kind(Section::options().file(path).size(size).create()), ErrorKind::TooLarge);
    }
}

#[test]
fn network_paths_are_refused_unless_asked_for() {
    let options = Section::options().file(r"\\server\share\a.map").size(1);
    assert_eq!(kind(options.open()), ErrorKind::Unsupported);
    assert_eq!(kind(options.create()), ErrorKind::Unsupported);
}

#[test]
fn reserved_memory_is_there_where_it_is_mapped() {
    let name = fresh_name("reserve");
    let options = Section::options().name(name).size(1 << 30);
    let section = options.clone().flags(SectionFlags::RESERVE).create().unwrap();
    let window = section.view().offset(1 << 20).len(10_000).map().unwrap();
    window.write_at(9_000, b"here").unwrap();
    let again = options.open().unwrap();
    let again = again.view().access(Access::Read).offset((1 << 20) + 9_000).len(4).map().unwrap();
    assert_eq!(again.read_string(4).unwrap(), b"here");
}

#[test]
fn large_pages_take_whole_ones() {
    let large = Section::options().flags(SectionFlags::LARGE_PAGES);
    let error = large.clone().size(5000).create().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidArgument | ErrorKind::Unsupported), "{error}");
    // With the privilege the call succeeds, without it the error says so.
    match large.size(1 << 30).create() {
        Ok(section) => assert_eq!(section.size().unwrap(), 1 << 30),
        Err(error) => assert!(
            matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::NoSpace | ErrorKind::Unsupported
            ),
            "{error}"
        ),
    }
}

#[test]
fn handles_are_inherited_only_if_asked_for() {
    let inherited = |section: &Section| {
        let mut flags = 0;
        let handle = section.as_handle().as_raw_handle();
        // SAFETY: the handle is open, and the out pointer is valid.
        assert_ne!(unsafe { GetHandleInformation(handle, &raw mut flags) }, 0);
        flags & HANDLE_FLAG_INHERIT != 0
    };
    let options = Section::options().name(fresh_name("inherit")).size(1);
    let section = options.create().unwrap();
    assert!(!inherited(&section));
    assert!(inherited(&options.inherit(true).open().unwrap()));
    assert!(inherited(&Section::options().size(1).inherit(true).create().unwrap()));
}

#[test]
fn protections_and_accesses_go_together_as_windows_says() {
    let folder = folder();
    let path = folder.join("protected");
    Section::options().file(&path).size(4096).create().unwrap();
    for protection in [
        Protection::ReadOnly,
        Protection::ReadWrite,
        Protection::WriteCopy,
        Protection::ExecuteRead,
        Protection::ExecuteReadWrite,
        Protection::ExecuteWriteCopy,
    ] {
        let section = Section::options().file(&path).protection(protection).open().unwrap();
        for access in [Access::Read, Access::ReadWrite, Access::CopyOnWrite] {
            for execute in [false, true] {
                let view = section.view().access(access).execute(execute).map();
                let allowed = (access != Access::ReadWrite || protection.writable())
                    && (!execute || protection.executable());
                assert_eq!(view.is_ok(), allowed, "{protection:?} {access:?} {execute}: {view:?}");
                if let (Ok(view), true) = (&view, access != Access::Read) {
                    view.write_at(0, b"mine").unwrap();
                }
            }
        }
        let named = Section::options().name(fresh_name("protected")).protection(protection);
        match named.clone().size(4096).create() {
            Ok(section) => {
                let found = named.open().unwrap();
                found.view().execute(protection.executable()).map().unwrap();
                drop(section);
            }
            Err(error) => eprintln!("{protection:?} in the page file: {error}"),
        }
    }
}

#[test]
fn a_view_is_where_it_was_asked_for_or_nowhere() {
    let section = Section::options().size(1 << 16).create().unwrap();
    let view = section.view().map().unwrap();
    let taken = view.as_ptr().addr();
    assert_eq!(kind(section.view().base_address(taken).map()), ErrorKind::InvalidArgument);
    view.close().unwrap();
    let again = section.view().base_address(taken).map().unwrap();
    assert_eq!(again.as_ptr().addr(), taken);
}

#[test]
fn a_dead_user_of_a_file_gives_up_its_place() {
    let folder = folder();
    let path = folder.join("place");
    let section = Section::options().file(&path).size(4096).create().unwrap();
    let timeout = Duration::from_secs(10);
    let mut second = Second::start("objects::second_takes_a_place", path.to_str().unwrap());
    assert_eq!(second.hear(), "alone true");
    let mut attachment = section.attach(timeout).unwrap();
    assert!(!attachment.alone());
    attachment.done().unwrap();
    drop(attachment);
    second.kill();
    // Windows does not promise when the locks of a dead process are gone.
    let free = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        section.attach(timeout).unwrap().alone()
    });
    assert!(free);
    let reader = Section::options().file(&path).protection(Protection::ReadOnly).open().unwrap();
    assert!(!reader.attach(timeout).unwrap().alone(), "a reader was told that it is alone");
}

#[test]
#[ignore = "the body of a second process, which another test here starts by this name with --ignored"]
fn second_takes_a_place() {
    let Some(path) = argument() else { return };
    let section = Section::options().file(path).open().unwrap();
    let mut attachment = section.attach(Duration::from_secs(10)).unwrap();
    attachment.done().unwrap();
    say(format_args!("alone {}", attachment.alone()));
    stay();
}

#[test]
fn who_lets_nobody_see_has_its_seat_and_another_kind_of_object_has_none() {
    let section = Section::options().size(4096).create().unwrap();
    let id = fresh("seat");
    let object = |slot| format!("Global\\mapvar.{id}.p{slot}");
    let denied = with_descriptor("D:P", |sa| {
        let name = Wide::new(object(0)).unwrap();
        // SAFETY: name and attributes live until after the call, and the name ends with a zero.
        let mutex = unsafe { CreateMutexW(sa, 0, name.as_ptr()) };
        // SAFETY: the call returned this handle, and no other value owns it.
        unsafe { OwnedHandle::from_raw_handle(mutex) }
    });
    let other = foreign_section(&object(1), null_mut()).unwrap();
    let seat = section.take_seat(Scope::Global, &id, 3).unwrap();
    assert_eq!(seat.slot(), 2);
    let taken = || [0, 1, 2].map(|slot| seat.is_taken(slot).unwrap());
    assert_eq!(taken(), [true, false, true]);
    drop((denied, other));
    assert_eq!(taken(), [false, false, true]);
    // Names that no object can have.
    drop(section);
    let section = Section::options().size(4096).create().unwrap();
    for bad in ["a\\b", "a\0b"] {
        assert_eq!(
            kind(section.take_seat(Scope::Local, bad, 3)),
            ErrorKind::InvalidName,
            "{bad:?}"
        );
    }
}

#[test]
fn a_maker_that_dies_half_way_leaves_no_section() {
    let name = fresh("half");
    let mut second = Second::start("objects::second_stays_in_fill", &name);
    assert_eq!(second.hear(), "filling");
    let options = Section::options().name(Name::new(&name).unwrap()).size(4096);
    let error = options.clone().timeout(Duration::from_millis(50)).open_or_create().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    second.kill();
    assert_eq!(options.open_or_create().unwrap().origin(), Origin::Created);
}

#[test]
#[ignore = "the body of a second process, which another test here starts by this name with --ignored"]
fn second_stays_in_fill() {
    let Some(name) = argument() else { return };
    let options = Section::options().name(Name::new(&name).unwrap()).size(4096);
    let _section = options.create_with(|_| {
        say("filling");
        stay();
        Ok(())
    });
}

#[test]
fn all_processes_see_one_start_of_the_machine() {
    let ours = crate::machine::boot_id().unwrap();
    let mut second = Second::start("objects::second_tells_the_start", "");
    assert_eq!(second.hear(), format!("{ours:x?}"));
    assert_ne!(crate::machine::random().unwrap(), crate::machine::random().unwrap());
}

#[test]
#[ignore = "the body of a second process, which another test here starts by this name with --ignored"]
fn second_tells_the_start() {
    if argument().is_some() {
        say(format_args!("{:x?}", crate::machine::boot_id().unwrap()));
    }
}
