//! The ways in which a process dies or is disturbed before it dies, beside a plain kill: what an
//! operator, a monitor, a debugger or the process itself can do.

pub(crate) mod beside;
mod child;
pub(crate) mod reader;
#[cfg(unix)]
pub(crate) mod unix;
#[cfg(windows)]
pub(crate) mod windows;

pub(crate) use child::{OUTLIVES, begin, outlive};

use mapvar_harness::Random;
use std::time::Duration;

macro_rules! ways {
    ($($way:ident $natively:literal $in_wine:literal $text:literal,)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Way { $($way,)+ }
        impl Way {
            pub(crate) const ALL: &[Self] = &[$(Self::$way,)+];
            const OFTEN: &[u64] =
                if cfg!(windows) { &[$($in_wine,)+] } else { &[$($natively,)+] };
            /// What a process in this way is counted as.
            pub(crate) const TEXTS: &[&str] = &[$($text,)+];
        }
    };
}

ways! {
    // How often natively and under Wine, among all but the plain kill.
    Killed 0 0 "killed",
    Left 3 3 "killed, and left unreaped (Wine: with an open handle) until all was verified",
    Stopped 4 3 "killed while stopped",
    Continued 4 3 "killed some time after a stop",
    Traced 2 0 "killed while a tracer has stopped it",
    Watched 4 3 "killed while a monitor reads all of it",
    Forked 4 0 "killed, outlived by a forked child",
    Started 2 1 "killed, outlived by a program that it started",
    Signalled 4 0 "ended by another signal",
    // One for each 2,000 deaths: it takes a second of processor time.
    Limited 0 0 "ended by its limit of processor time",
    Exits 3 2 "ended by an exit of another thread",
    Executes 3 0 "replaced by another program, by another thread",
}

impl Way {
    /// Chooses the way of a life, where there are several. One in ten is not a plain kill.
    pub(crate) fn choose(random: &mut Random) -> Self {
        if cfg!(unix) && random.one_in(2_000) {
            return Self::Limited;
        }
        if !random.one_in(10) {
            return Self::Killed;
        }
        let mut at = random.below(Self::OFTEN.iter().sum());
        for (way, often) in Self::ALL.iter().zip(Self::OFTEN) {
            if at < *often {
                return *way;
            }
            at -= often;
        }
        Self::Left
    }

    /// Whether this system has the way at all, if the processes are forked or programs (`start`).
    pub(crate) fn is_known(self, start: bool) -> bool {
        let natively = cfg!(target_os = "linux") && !start;
        let often = Self::OFTEN.get(self as usize).is_some_and(|often| *often > 0);
        (natively && self == Self::Limited) || (natively || cfg!(windows)) && often
    }

    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|way| format!("{way:?}").eq_ignore_ascii_case(name));
        found.copied().ok_or_else(|| "no such way to die".into())
    }

    pub(crate) fn of(number: usize) -> Self {
        Self::ALL.get(number).copied().unwrap_or(Self::Killed)
    }

    /// Whether the process must have the map open before it dies in this way.
    pub(crate) fn needs_the_map(self) -> bool {
        !matches!(self, Self::Killed | Self::Left | Self::Watched | Self::Signalled)
    }
}

/// What has come to pass with a process. Who started it waits until it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has begun ([`Way::Watched`]).
    Born,
    /// It has the map open, and is to be killed as soon as this was looked at.
    Ready,
    /// It is stopped, perhaps in the midst of an operation.
    Stopped,
    /// It is dead, and its parent has not reaped it; or another program has taken its place.
    Dead,
}

impl Phase {
    #[cfg(unix)]
    const ALL: [(Self, &str); 4] = [
        (Self::Born, "born"),
        (Self::Ready, "ready"),
        (Self::Stopped, "stopped"),
        (Self::Dead, "dead"),
    ];

    #[cfg(unix)]
    pub(crate) fn to_line(self, pid: u32) -> String {
        let text = Self::ALL.iter().find(|(phase, _)| *phase == self).map_or("", |(_, text)| text);
        format!("{text} {pid}")
    }

    #[cfg(unix)]
    pub(crate) fn parse(line: &str) -> Option<(Self, u32)> {
        let (text, pid) = line.split_once(' ')?;
        let (phase, _) = Self::ALL.iter().find(|(_, known)| *known == text)?;
        Some((*phase, pid.parse().ok()?))
    }
}

/// Looks at a process in a phase.
pub(crate) type Look<'a> = &'a mut dyn FnMut(Phase, u32);

/// The longest time that something outlives its parent.
pub(crate) const LONGEST: Duration = Duration::from_millis(if cfg!(windows) { 1_000 } else { 200 });

/// Whether a process counts as dead as soon as its parent can be told of its end, as a rule.
pub(crate) const DIES_AT_ONCE: bool = cfg!(unix);

/// The code of an exit in the midst of an operation.
pub(crate) const EXIT: i32 = 7;
