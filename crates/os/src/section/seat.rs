//! Seats: which processes use a section, as the kernel knows it.

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

/// A process's seat among those who use a section; from [`Section::take_seat`].
///
/// It is given back when this value is dropped, or by the system when the process ends in any way:
/// whether a seat is taken is asked of the kernel, never told from a process id.
///
/// *Free* is always true at the moment of the answer: no living holder is ever taken for a dead
/// one. *Taken* may be late: for some milliseconds after its holder was killed, while the system
/// clears up (longer where much memory was mapped), and on Windows also while another process is
/// just looking at the same seat.
///
/// `Send` and `Sync`: a seat is the process's, not a thread's.
///
/// On Unix a child after `fork` shares its parent's open file, and so its seat: if the parent is
/// killed, the seat stays taken until the child has ended too, or started another program (unless
/// the section was opened with [`inherit`](crate::SectionOptions::inherit)). In the child this
/// value is nothing: it answers [`Closed`](ErrorKind::Closed), and dropping it gives nothing back.
#[must_use = "dropping it gives the seat back"]
pub struct Seat {
    // Fields are dropped in this order: `place` is the last, and lets the handle have another.
    sys: <Imp as Platform>::Seat,
    spec: SeatSpec,
    place: OneSeat,
}

/// Of one handle: that it has a seat.
struct OneSeat {
    shared: Arc<Shared>,
    slot: usize,
}

impl Seat {
    /// The most seats that a section can have.
    pub const MOST: usize = MOST_SEATS;

    /// Its number, below the number of seats.
    pub fn slot(&self) -> usize {
        self.place.slot
    }

    /// Whether a living process has that seat, this one's own included. Takes nothing and waits
    /// for nobody. Nobody has a seat whose number is beyond the last.
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
        .map_err(|error| shared.with_context("look at a seat of", error))
}

impl Section {
    /// Finds this handle one of `seats` seats that is free, and takes it. All who use the section
    /// say the same number, scope and `id` (letters and digits that no other section has; the
    /// system's objects are named after it, in `scope`). A handle has one seat at a time, so that
    /// a process which opens the section twice may have two.
    ///
    /// # Errors
    /// [`ErrorKind::Full`] where all are taken, or were a moment ago (see [`Seat`]). [`ErrorKind::ReadOnly`] where the section was
    /// opened for reading, [`ErrorKind::InvalidArgument`] where the handle has a seat already or
    /// `seats` is none, or more than [`Seat::MOST`], [`ErrorKind::Closed`] in a child after `fork`
    /// that did not open the section itself. [`ErrorKind::Unsupported`] where the system, or the
    /// section's file system, cannot tell the dead from the living.
    pub fn take_seat(&self, scope: Scope, id: &str, seats: usize) -> Result<Seat> {
        self.take_seat_among(scope, id, seats, seats)
    }

    /// Whether a living process has that seat, by whatever handle but this one: for who has none of
    /// its own, and may have opened the section for reading. `scope` and `id` are those of
    /// [`take_seat`](Self::take_seat). Takes nothing and waits for nobody.
    ///
    /// # Errors
    /// Those of [`Seat::is_taken`].
    pub fn is_seat_taken(&self, scope: Scope, id: &str, slot: usize) -> Result<bool> {
        let spec = SeatSpec { scope, id: id.into(), seats: Seat::MOST, among: 0 };
        if slot < spec.seats { is_seat_taken(&self.shared, &spec, slot) } else { Ok(false) }
    }

    /// As [`take_seat`](Self::take_seat), one below `among`, so that the others stay free for who
    /// needs one more.
    ///
    /// # Errors
    /// Those of [`take_seat`](Self::take_seat).
    pub fn take_seat_among(
        &self,
        scope: Scope,
        id: &str,
        seats: usize,
        among: usize,
    ) -> Result<Seat> {
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
        // Acquire and the Release in `OneSeat`: nothing is guarded but what the system orders.
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
