//! Seats: the kernel's record of the processes that use a section.

use crate::{
    error::{Error, ErrorKind, Result},
    name::Scope,
    section::{handle::Section, shared::Shared},
    spec::{MOST_SEATS, SeatSpec},
    sys::{Imp, Platform},
};
use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

/// A numbered seat of a process in a section; from [`Seats::take_seat`].
///
/// The seat is freed when this value is dropped, or by the kernel when the process ends in any way.
/// Whether a seat is taken is determined by the kernel, never by a process id.
///
/// A seat that is reported *free* is free at the time of the report: a living holder is never
/// reported dead. A seat can be reported *taken* for some milliseconds after its holder was killed,
/// until the system has closed the holder's files; this takes longer if much memory was mapped. On
/// Linux the seat is free once the parent of the killed process can be told of its end. On Windows
/// a free seat is also reported taken while another process checks it.
///
/// `Send` and `Sync`: a seat belongs to the process, not to a thread.
///
/// On Unix a child after `fork` does not keep its parent's seat. In the child this value has no
/// effect: [`is_taken`](Self::is_taken) fails with [`Closed`](ErrorKind::Closed), and dropping the
/// value does not free the seat. (A child that was made by the system call, and not by the C
/// library's `fork`, keeps the seat of a killed parent until it ends or starts another program.)
///
/// On Unix a process that may only read the section's file can keep others from taking seats, by a
/// shared lock on all its bytes. It cannot make a seat appear taken.
///
/// ```
/// use mapvar_os::{Scope, Seats, Section};
///
/// let section = Section::options().size(4096).create()?;
/// let id = format!("seatdoc{}", std::process::id());
/// let seat = section.take_seat(Scope::Local, &id, 8)?;
/// assert!(seat.slot() < 8);
/// assert!(seat.is_taken(seat.slot())?);
/// # Ok::<(), mapvar_os::Error>(())
/// ```
#[must_use = "dropping it releases the seat"]
pub struct Seat {
    // Fields are dropped in this order: `place` is the last, since its drop allows the handle to
    // take another seat.
    sys: <Imp as Platform>::Seat,
    spec: SeatSpec,
    place: OneSeat,
}

/// Guards the rule that a handle has at most one seat.
struct OneSeat {
    shared: Arc<Shared>,
    slot: usize,
}

impl Seat {
    /// The maximum number of seats of a section.
    pub const MOST: usize = MOST_SEATS;

    /// Returns the number of the seat, which is below the number of seats.
    pub fn slot(&self) -> usize {
        self.place.slot
    }

    /// Returns whether a living process has the seat `slot`; true for this process's own seat.
    ///
    /// It does not take a seat and does not wait. For a number beyond the last seat it returns
    /// false.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] in a child after `fork`; [`ErrorKind::Io`] with the system's code.
    pub fn is_taken(&self, slot: usize) -> Result<bool> {
        let shared = &self.place.shared;
        if slot >= self.spec.seats {
            return Ok(false);
        }
        let others = is_seat_taken(shared, &self.spec, slot)?;
        Ok(others || slot == self.slot())
    }
}

fn is_seat_taken(shared: &Shared, spec: &SeatSpec, slot: usize) -> Result<bool> {
    Imp::is_seat_taken(&shared.sys, spec, slot)
        .map_err(|error| shared.with_context("check a seat of", error))
}

/// The seats of a section, for a library that builds on sections.
pub trait Seats {
    /// Takes a free seat of `seats` seats for this handle.
    ///
    /// All users of the section pass the same `seats`, `scope` and `id`. The `id` consists of
    /// letters and digits and is unique to the section; the system's objects for the seats are
    /// named after it, in `scope`. A handle has at most one seat, so a process that opens the
    /// section twice can have two.
    ///
    /// # Errors
    /// * [`ErrorKind::Full`] if all seats are taken, or were taken a moment ago (see [`Seat`]), or if
    ///   a process that may only read has locked those that are free.
    /// * [`ErrorKind::ReadOnly`] if the section was opened for reading.
    /// * [`ErrorKind::InvalidArgument`] if the handle has a seat already, or `seats` is 0 or more
    ///   than [`Seat::MOST`].
    /// * [`ErrorKind::Closed`] in a child after `fork` that did not open the section itself.
    /// * [`ErrorKind::Unsupported`] if the system, or the section's file system, cannot detect the
    ///   death of a holder.
    fn take_seat(&self, scope: Scope, id: &str, seats: usize) -> Result<Seat>;

    /// Returns whether a living process has the seat `slot` through a handle other than this one.
    ///
    /// For a process without a seat, which may have opened the section for reading. `scope` and
    /// `id` are those of [`take_seat`](Self::take_seat). It does not take a seat and does not wait.
    ///
    /// # Errors
    /// Those of [`Seat::is_taken`].
    fn is_seat_taken(&self, scope: Scope, id: &str, slot: usize) -> Result<bool>;

    /// As [`take_seat`](Self::take_seat), but takes a seat with a number below `among`.
    ///
    /// The seats from `among` on stay free for callers that need an additional one.
    ///
    /// # Errors
    /// Those of [`take_seat`](Self::take_seat).
    fn take_seat_among(&self, scope: Scope, id: &str, seats: usize, among: usize) -> Result<Seat>;
}

impl Seats for Section {
    fn take_seat(&self, scope: Scope, id: &str, seats: usize) -> Result<Seat> {
        self.take_seat_among(scope, id, seats, seats)
    }

    fn is_seat_taken(&self, scope: Scope, id: &str, slot: usize) -> Result<bool> {
        let spec = SeatSpec { scope, id: id.into(), seats: Seat::MOST, among: 0 };
        if slot < spec.seats { is_seat_taken(&self.shared, &spec, slot) } else { Ok(false) }
    }

    fn take_seat_among(&self, scope: Scope, id: &str, seats: usize, among: usize) -> Result<Seat> {
        const TAKE: &str = "take a seat of";
        let refuse = |kind, detail: String| {
            Err(self.shared.with_context(TAKE, Error::new(kind, "", "").detail(detail)))
        };
        if seats == 0 || seats > Seat::MOST {
            let detail = format!("{seats} seats; give 1 to {}", Seat::MOST);
            return refuse(ErrorKind::InvalidArgument, detail);
        }
        if !self.shared.options.protection.writable() {
            let detail = "opened for reading only; open it for writing";
            return refuse(ErrorKind::ReadOnly, detail.into());
        }
        // Pairs with the Release store in the drop of `OneSeat`. It protects no memory, only the
        // calls of the system, which the system orders itself.
        if self.shared.seated.swap(true, Ordering::AcqRel) {
            let detail = "this handle has a seat already; open the section again for a second one";
            return refuse(ErrorKind::InvalidArgument, detail.into());
        }
        let spec = SeatSpec { scope, id: id.into(), seats, among: among.min(seats) };
        let taken = Imp::take_seat(&self.shared.sys, &spec);
        if !matches!(taken, Ok(Some(_))) {
            self.shared.seated.store(false, Ordering::Release);
        }
        match taken.map_err(|error| self.shared.with_context(TAKE, error))? {
            Some((slot, sys)) => {
                Ok(Seat { sys, spec, place: OneSeat { shared: self.shared.clone(), slot } })
            }
            None => {
                let detail =
                    format!("all {} seats are taken; end a process that has one", spec.among);
                refuse(ErrorKind::Full, detail)
            }
        }
    }
}

impl Drop for OneSeat {
    fn drop(&mut self) {
        Imp::leave_seat(&self.shared.sys, self.slot);
        self.shared.seated.store(false, Ordering::Release);
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat")
            .field("slot", &self.place.slot)
            .field("of", &self.spec.seats)
            .field("sys", &self.sys)
            .finish_non_exhaustive()
    }
}
