//! Lock words, tokens, and dead owners.

use super::*;
use crate::{
    Attach, ErrorKind, Locks, Refused, Scope, Section, Taken, View, section::lock::Locks as _Locks,
};
use std::{
    os::windows::io::AsRawHandle,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetProcessHandleCount};

const SLOTS: usize = 64;
/// The first lock word.
const AT: usize = SLOTS * _Locks::SLOT;
/// The offset of a number that is changed under the first lock, without atomic read-modify-writes.
const COUNT: usize = AT + 64;
const SIZE: u64 = 65_536;
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(60);

struct Region {
    _section: Section,
    view: View,
    id: String,
}

impl Region {
    fn new() -> Self {
        let [one, two] = crate::machine::random().unwrap();
        Self::of(&format!("{one:x}{two:x}"))
    }

    fn of(id: &str) -> Self {
        let name = Name::new(&format!("test.locks.{id}")).unwrap();
        let section = Section::options().name(name).size(SIZE).open_or_create().unwrap();
        let view = section.view().map().unwrap();
        Self { _section: section, view, id: id.into() }
    }

    fn locks(&self) -> Locks {
        Locks::new(Scope::Local, &self.id, 0, SLOTS).unwrap()
    }

    fn word(&self) -> u32 {
        self.view.range().half(AT).unwrap().load(Ordering::Acquire)
    }

    fn add_one(&self) {
        let words = self.view.words_mut(COUNT, 1).unwrap();
        let count = words.read().load(0, Ordering::Relaxed);
        thread::yield_now();
        words.store(0, count + 1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.view.words(COUNT, 1).unwrap().load(0, Ordering::Relaxed)
    }
}

/// Returns how many handles this process has.
fn handles() -> i64 {
    let count = || {
        let mut count = 0;
        // SAFETY: the call takes no argument.
        let process = unsafe { GetCurrentProcess() };
        // SAFETY: a process may query itself, and the out pointer is valid.
        assert_ne!(unsafe { GetProcessHandleCount(process, &raw mut count) }, 0);
        i64::from(count)
    };
    let before = count();
    let more: Vec<_> = (0..100).map(|_| foreign_mutex(&fresh("handle"))).collect();
    if count() == before {
        // Wine always returns the same number. It allocates the lowest free handle, so the greatest
        // value serves as well, once there are no gaps.
        let greatest = more.iter().map(|new| new.as_raw_handle().addr()).max().unwrap();
        return i64::try_from(greatest / 4).unwrap();
    }
    before
}

#[test]
fn a_lock_shuts_out_other_threads_and_processes() {
    let region = Region::new();
    let locks = region.locks();
    let mut seconds: Vec<_> =
        (0..2).map(|_| Second::start("locks::second_counts", &region.id)).collect();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| count_1000(&locks, &region));
        }
    });
    for second in &mut seconds {
        assert_eq!(second.hear(), "counted");
    }
    assert_eq!(region.count(), 5000);
    assert_eq!(region.word(), 0);
}

fn count_1000(locks: &Locks, region: &Region) {
    for _ in 0..1000 {
        assert_eq!(locks.lock(&region.view, AT, LONG).unwrap(), Taken::Clean);
        region.add_one();
        locks.unlock(&region.view, AT);
    }
}

#[test]
#[ignore = "the body of a second process, which another test here starts by this name with --ignored"]
fn second_counts() {
    let Some(id) = argument() else { return };
    let region = Region::of(&id);
    count_1000(&region.locks(), &region);
    say("counted");
}

#[test]
fn a_killed_holder_is_taken_over_from() {
    let region = Region::new();
    let locks = region.locks();
    for round in 0..5 {
        let mut second = Second::start("locks::second_holds", &region.id);
        let pid = second.hear();
        match locks.lock(&region.view, AT, SHORT) {
            Err(Refused::TimedOut(Some(holder))) => {
                assert_eq!(holder.pid.to_string(), pid);
                assert!(holder.program.unwrap().starts_with("mapvar_os"));
            }
            other => panic!("{other:?}"),
        }
        if round % 2 == 0 {
            // A thread waits already: its handle keeps the token, which is then abandoned.
            thread::scope(|scope| {
                let waiter = scope.spawn(|| {
                    let taken = locks.lock(&region.view, AT, LONG);
                    locks.unlock(&region.view, AT);
                    taken
                });
                thread::sleep(Duration::from_millis(20));
                second.kill();
                assert_eq!(waiter.join().unwrap().unwrap(), Taken::Recovered);
            });
        } else {
            // No other process has a handle: the token goes with its owner.
            second.kill();
            assert_eq!(locks.lock(&region.view, AT, LONG).unwrap(), Taken::Recovered);
            locks.unlock(&region.view, AT);
        }
        assert_eq!(locks.lock(&region.view, AT, LONG).unwrap(), Taken::Clean);
        locks.unlock(&region.view, AT);
    }
}

#[test]
#[ignore = "the body of a second process, which another test here starts by this name with --ignored"]
fn second_holds() {
    let Some(id) = argument() else { return };
    let region = Region::of(&id);
    let locks = region.locks();
    let _ = locks.lock(&region.view, AT, LONG).unwrap();
    say(std::process::id());
    stay();
}

#[test]
fn of_many_who_wait_for_the_dead_one_recovers_and_no_two_hold() {
    let region = Region::new();
    let locks = region.locks();
    let mut second = Second::start("locks::second_holds", &region.id);
    second.hear();
    let begin = Barrier::new(9);
    let recovered = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                begin.wait();
                if locks.lock(&region.view, AT, LONG).unwrap() == Taken::Recovered {
                    recovered.fetch_add(1, Ordering::Relaxed);
                }
                region.add_one();
                locks.unlock(&region.view, AT);
            });
        }
        begin.wait();
        thread::sleep(Duration::from_millis(20));
        second.kill();
    });
    assert_eq!(recovered.into_inner(), 1);
    assert_eq!(region.count(), 8);
}

#[test]
fn a_thread_that_ends_without_unlocking_is_taken_over_from() {
    let region = Region::new();
    let locks = region.locks();
    for round in 0..100 {
        let at = AT + (round % 3) * 4;
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ = locks.lock(&region.view, at, LONG).unwrap();
            });
        });
        assert_eq!(locks.lock(&region.view, at, LONG).unwrap(), Taken::Recovered, "{round}");
        locks.unlock(&region.view, at);
    }
}

#[test]
fn a_living_owner_keeps_its_lock() {
    let region = Region::new();
    let locks = region.locks();
    let mut second = Second::start("locks::second_holds", &region.id);
    let pid = second.hear();
    let held = region.word();
    let until = Instant::now() + Duration::from_millis(700);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while Instant::now() < until {
                    match locks.lock(&region.view, AT, SHORT) {
                        Err(Refused::TimedOut(holder)) => {
                            assert_eq!(holder.unwrap().pid.to_string(), pid);
                        }
                        other => panic!("{other:?}"),
                    }
                    assert_eq!(region.word(), held);
                }
            });
        }
    });
}

#[test]
fn the_own_token_proves_nothing() {
    let region = Region::new();
    let (one, two) = (region.locks(), region.locks());
    let _ = one.lock(&region.view, AT, LONG).unwrap();
    let held = region.word();
    // The same thread again: through the same map and through another map of this process.
    for locks in [&one, &two] {
        assert!(matches!(locks.lock(&region.view, AT, SHORT), Err(Refused::TimedOut(_))));
        assert_eq!(region.word(), held);
    }
    let _ = two.lock(&region.view, AT + 4, LONG).unwrap();
    let other = region.view.range().half(AT + 4).unwrap().load(Ordering::Relaxed);
    assert_ne!(other, held, "two maps of one thread share a slot");
    two.unlock(&region.view, AT + 4);
    one.unlock(&region.view, AT);
}

#[test]
fn forged_words_cost_no_more_than_time() {
    let region = Region::new();
    let locks = region.locks();
    let word = region.view.range().half(AT).unwrap();
    // Not the slot of this thread, which has the slot that its id leads to.
    let _ = locks.lock(&region.view, AT, LONG).unwrap();
    let free = if region.word() & 1023 == 5 { 6 } else { 5 };
    locks.unlock(&region.view, AT);
    // A slot that does not exist; one that no thread ever had; one of another generation.
    for owner in [1 << 10 | 1023, 1 << 10 | free, 77 << 10 | free] {
        word.store(owner, Ordering::Relaxed);
        assert_eq!(locks.lock(&region.view, AT, LONG).unwrap(), Taken::Recovered, "{owner:#x}");
        locks.unlock(&region.view, AT);
    }
    word.store(_Locks::MARK_T, Ordering::Relaxed);
    match locks.lock(&region.view, AT, LONG) {
        Err(Refused::Marked(mark)) => assert_eq!(mark, _Locks::MARK_T),
        other => panic!("{other:?}"),
    }
    // Squatted tokens: another kind of object cannot belong to an owner; one that denies access
    // can.
    let token = |slot| format!("Local\\mapvar.{}.t{slot}", region.id);
    let words = region.view.words_mut(free as usize * _Locks::SLOT, 1).unwrap();
    words.store(0, 0, Ordering::Relaxed);
    word.store(1 << 10 | free, Ordering::Relaxed);
    let denied = with_descriptor("D:P", |sa| {
        let name = Wide::new(token(free)).unwrap();
        // SAFETY: name and attributes live until after the call, and the name ends with a zero.
        let mutex = unsafe { CreateMutexW(sa, 0, name.as_ptr()) };
        // SAFETY: the call returned this handle, and no other value owns it.
        unsafe { OwnedHandle::from_raw_handle(mutex) }
    });
    assert!(matches!(locks.lock(&region.view, AT, SHORT), Err(Refused::TimedOut(_))));
    drop(denied);
    assert_eq!(locks.lock(&region.view, AT, LONG).unwrap(), Taken::Recovered);
    locks.unlock(&region.view, AT);
}

#[test]
fn the_token_of_the_dead_is_given_back_by_who_waited_for_it() {
    let region = Region::new();
    let locks = Locks::new(Scope::Local, &region.id, 0, 2).unwrap();
    // One slot for this thread, so that the other threads follow each other in the other slot.
    let _ = locks.lock(&region.view, AT + 4, LONG).unwrap();
    locks.unlock(&region.view, AT + 4);
    for _ in 0..3 {
        let locked = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                let taken = locks.lock(&region.view, AT, LONG);
                locked.wait();
                thread::sleep(SHORT);
                taken.expect("the slot of the last one was free")
            });
            locked.wait();
            assert_eq!(locks.lock(&region.view, AT, LONG).unwrap(), Taken::Recovered);
            locks.unlock(&region.view, AT);
        });
    }
}

#[test]
fn a_slot_has_its_next_owner_and_the_locks_of_the_last_one_have_none() {
    let region = Region::new();
    let locks = Locks::new(Scope::Local, &region.id, 0, 2).unwrap();
    let _ = locks.lock(&region.view, AT + 4, LONG).unwrap();
    locks.unlock(&region.view, AT + 4);
    for _ in 0..3 {
        let dead = || locks.lock(&region.view, AT, LONG).unwrap();
        let _ = thread::scope(|scope| scope.spawn(dead).join().unwrap());
        let (had, done) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            scope.spawn(|| {
                let taken = locks.lock(&region.view, AT + 4, LONG);
                had.wait();
                done.wait();
                let _ = taken.expect("the slot of the dead was free");
                locks.unlock(&region.view, AT + 4);
            });
            had.wait();
            // A living thread has the slot by now. The lock still belongs to the dead one.
            let taken = locks.lock(&region.view, AT, SHORT);
            done.wait();
            assert_eq!(taken.unwrap(), Taken::Recovered);
            locks.unlock(&region.view, AT);
        });
    }
}

#[test]
fn a_thread_gives_back_the_slots_of_maps_that_are_closed() {
    let region = Region::new();
    for round in 0..8 {
        // More maps, one after the other, than there are slots.
        let locks = Locks::new(Scope::Local, &region.id, 0, 3).unwrap();
        let taken = locks.lock(&region.view, AT, LONG);
        assert!(taken.is_ok(), "map {round}: {taken:?}");
        locks.unlock(&region.view, AT);
    }
}

#[test]
fn when_all_slots_are_taken_it_is_said() {
    let region = Region::new();
    let locks = Locks::new(Scope::Local, &region.id, 0, 2).unwrap();
    let (had, done) = (Barrier::new(3), Barrier::new(3));
    thread::scope(|scope| {
        for at in [AT, AT + 4] {
            let (locks, region, had, done) = (&locks, &region, &had, &done);
            scope.spawn(move || {
                let _ = locks.lock(&region.view, at, LONG).unwrap();
                locks.unlock(&region.view, at);
                had.wait();
                done.wait();
            });
        }
        had.wait();
        match locks.lock(&region.view, AT, LONG) {
            Err(Refused::Failed(error)) => assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}"),
            other => panic!("{other:?}"),
        }
        done.wait();
    });
    // The threads have ended, and so released their slots.
    assert_eq!(locks.lock(&region.view, AT, LONG).unwrap(), Taken::Clean);
    locks.unlock(&region.view, AT);
}

#[test]
fn a_place_that_is_no_lock_is_refused() {
    let region = Region::new();
    let locks = region.locks();
    for at in [AT + 1, SIZE as usize, usize::MAX] {
        assert!(matches!(locks.lock(&region.view, at, LONG), Err(Refused::Failed(_))), "{at}");
    }
    let beyond = Locks::new(Scope::Local, &region.id, SIZE as usize - 64, 2).unwrap();
    assert!(matches!(beyond.lock(&region.view, AT, LONG), Err(Refused::Failed(_))));
    for (id, table, slots) in
        [("", 0, 1), ("a\\b", 0, 1), ("a", 0, 0), ("a", 0, 1025), ("a", usize::MAX, 1)]
    {
        assert!(Locks::new(Scope::Local, id, table, slots).is_err(), "{id} {table} {slots}");
    }
}

#[test]
fn a_thread_that_opens_and_closes_maps_leaks_nothing() {
    // In a process of its own: the other tests open and close handles at the same time.
    let mut second = Second::start("locks::second_counts_its_handles", "");
    let drift: i64 = second.hear().parse().unwrap();
    assert!(drift.abs() <= 3, "{drift} handles more after 1,000 rounds");
}

#[test]
#[ignore = "the body of a second process, which another test here starts by this name with --ignored"]
fn second_counts_its_handles() {
    if argument().is_none() {
        return;
    }
    let path = std::env::temp_dir().join(fresh("handles"));
    let options = Section::options().file(&path).size(SIZE);
    let keep = options.create().unwrap();
    let round = |number: usize| {
        let section = options.open().unwrap();
        let mut attachment = section.attach(LONG).unwrap();
        attachment.done().unwrap();
        let view = section.view().map().unwrap();
        let locks = Locks::new(Scope::Local, &format!("a{number}"), 0, SLOTS).unwrap();
        let _ = locks.lock(&view, AT, LONG).unwrap();
        locks.unlock(&view, AT);
        let name = fresh_name("handles");
        let named = Section::options().name(name).size(SIZE).create().unwrap();
        assert!(Section::options().name(fresh_name("handles")).open().is_err());
        named.close().unwrap();
    };
    (0..10).for_each(round);
    let before = handles();
    (10..1010).for_each(round);
    let drift = handles() - before;
    drop(keep);
    std::fs::remove_file(path).unwrap();
    say(drift);
}
