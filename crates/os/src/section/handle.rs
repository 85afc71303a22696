//! A section: the operating system's object behind a piece of shared memory.

use crate::{
    error::{Error, ErrorKind, Result},
    options::{SectionFlags, SectionOptions},
    section::{
        shared::Shared,
        view::{View, ViewOptions},
    },
    spec::{How, Origin, SectionId},
    sys::{Imp, Platform, lend_handle},
};
use std::{fmt, sync::Arc, time::Duration};

/// The operating system's object: a file, a named piece of page-file memory, or an anonymous one.
///
/// A named section lives until its last handle is closed, on every system. Each [`View`] keeps its
/// section's handle open, so that a name never dies under a view (on Windows the name goes with the
/// last *handle*, and the next creator would get another, empty section).
///
/// `Send` and `Sync`: it is a handle, and the calls on it are the system's.
pub struct Section {
    pub(crate) shared: Arc<Shared>,
    origin: Origin,
}

impl Section {
    /// Options to make or open one.
    pub fn options() -> SectionOptions {
        SectionOptions::new()
    }

    fn obtain(
        options: &SectionOptions,
        how: How,
        fill: &mut dyn FnMut(&View) -> Result<()>,
    ) -> Result<Self> {
        if how != How::Open {
            let grows =
                options.max_size.is_some_and(|max| options.size.is_none_or(|size| max > size));
            let refuse = |detail: &str| {
                Error::new(ErrorKind::InvalidArgument, how.verb(), options.describe())
                    .detail(detail)
            };
            match options.size {
                Some(0) => return Err(refuse("size 0; give a size of at least 1 byte")),
                None if how == How::Create => return Err(refuse("no size; give one")),
                _ => {}
            }
            if grows && options.flags.contains(SectionFlags::LARGE_PAGES) {
                return Err(refuse(
                    "large pages do not grow; leave out max_size, or SectionFlags::LARGE_PAGES",
                ));
            }
        }
        let (sys, origin) = Imp::obtain(options, how, &mut |sys| {
            let section = Self::wrap(sys, options, Origin::Created);
            let view = section.first_view().map()?;
            fill(&view)
        })?;
        Ok(Self::wrap(sys, options, origin))
    }

    fn wrap(sys: <Imp as Platform>::Section, options: &SectionOptions, origin: Origin) -> Self {
        Self { shared: Arc::new(Shared::new(sys, options.clone())), origin }
    }

    /// Of what is to be filled: not of what it may grow to, where the system tells that as its size.
    fn first_view(&self) -> ViewOptions<'_> {
        let mut view = self.view();
        view.len = self.shared.options.max_size.and(self.shared.options.size);
        view
    }

    /// Runs `fill` alone among all who would fill this section: for a named section of Windows
    /// whose creator died half-way. `fill` must look first whether somebody else was quicker.
    ///
    /// # Errors
    /// What `fill` answers; [`ErrorKind::TimedOut`] where another process fills it longer than the
    /// timeout.
    pub fn refill(&self, fill: impl FnOnce(&View) -> Result<()>) -> Result<()> {
        let view = self.first_view().map()?;
        let mut fill = Some(fill);
        Imp::alone_filling(&self.shared.sys, &self.shared.options, &mut || {
            fill.take().map_or(Ok(()), |fill| fill(&view))
        })
    }

    /// Whether this handle's call made the section or found it.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Its true size in bytes, now: exact for a file; for memory in the page file of Windows rounded
    /// up to a page, and of one that may grow the [`max_size`](SectionOptions::max_size) (there
    /// nothing tells how far it has grown: keep that in the memory itself, and give views their
    /// [`len`](ViewOptions::len)).
    ///
    /// # Errors
    /// [`ErrorKind::Io`] with the system's code.
    pub fn size(&self) -> Result<u64> {
        self.shared.size()
    }

    /// Makes it at least `size` bytes long, for every process, with memory or disk behind all of
    /// them (unless [`RESERVE`](SectionFlags::RESERVE)); the new ones are zero. Views stay where
    /// and as long as they are: [`View::grow`] lets them reach the new part, in each process.
    ///
    /// Never makes it shorter. Processes that grow it at once wait for each other, and the greatest
    /// size counts.
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`], and the section is as it was: where the file system can only be
    /// asked for room by writing, what was written is cut off again, unless the file has come to be
    /// longer than `size` meanwhile. [`ErrorKind::TooLarge`] beyond the
    /// [`max_size`](SectionOptions::max_size), or the limits of the system;
    /// [`ErrorKind::ReadOnly`]; [`ErrorKind::TimedOut`] where another process grows it for longer
    /// than the timeout; [`ErrorKind::Unsupported`] for large pages and executable images.
    pub fn grow(&self, size: u64) -> Result<()> {
        let options = &self.shared.options;
        let refuse =
            |kind, detail: String| Err(Error::new(kind, "grow", options.describe()).detail(detail));
        if !options.protection.writable() {
            let detail = "the section is for reading; open it with a writable protection";
            return refuse(ErrorKind::ReadOnly, detail.into());
        }
        match options.max_size.map(|max| max.max(options.size.unwrap_or(0))) {
            Some(max) if size > max && options.file.is_none() => refuse(
                ErrorKind::TooLarge,
                format!(
                    "{size} bytes where it may have {max}; make it anew with a larger max_size"
                ),
            ),
            _ => Imp::grow(&self.shared.sys, options, size)
                .map_err(|error| self.shared.with_context("grow", error)),
        }
    }

    /// The identity of its file; `None` where it has no file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] with the system's code.
    pub fn id(&self) -> Result<Option<SectionId>> {
        Imp::id(&self.shared.sys).map_err(|error| self.shared.with_context("identify", error))
    }

    /// Options to map a range of it: the whole, readable and writable, unless changed.
    pub fn view(&self) -> ViewOptions<'_> {
        ViewOptions::new(&self.shared)
    }

    /// Registers this handle among the users of the section, in a way that the system takes back
    /// when the process ends. While the [`Attachment`] is not yet [done](Attachment::done), no
    /// other process gets past this call: it is the moment in which a sole user may repair what
    /// earlier ones left behind. Not done by itself; a raw section is used without it.
    ///
    /// A handle for reading only waits for the others' moment to end, and no more: it takes no
    /// place, since it leaves nothing behind that would have to be repaired, and is never told that
    /// it is alone.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] where another process stays in that moment longer than `timeout`;
    /// [`ErrorKind::Io`].
    pub fn attach(&self, timeout: Duration) -> Result<Attachment> {
        let alone = Imp::attach(&self.shared.sys, timeout)
            .map_err(|error| self.shared.with_context("attach to", error))?;
        Ok(Attachment { shared: self.shared.clone(), alone, done: false })
    }

    /// Closes the handle and reports what the system says; views that are still there keep theirs.
    /// Dropping a section closes it in silence.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] with the system's code. The handle is gone nonetheless.
    pub fn close(self) -> Result<()> {
        match Arc::into_inner(self.shared) {
            Some(Shared { sys, options, .. }) => {
                Imp::close(sys).map_err(|error| error.during("close", options.describe()))
            }
            None => Ok(()),
        }
    }
}

lend_handle!(Section);

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Section")
            .field("object", &self.shared.options.describe())
            .field("origin", &self.origin)
            .field("sys", &self.shared.sys)
            .finish()
    }
}

impl SectionOptions {
    /// Makes the section; it must not exist.
    ///
    /// # Errors
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists),
    /// [`NoSpace`](crate::ErrorKind::NoSpace) with nothing left behind,
    /// [`NameTaken`](crate::ErrorKind::NameTaken) where another kind of object bears the name,
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied),
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument),
    /// [`Unsupported`](crate::ErrorKind::Unsupported).
    pub fn create(&self) -> Result<Section> {
        Section::obtain(self, How::Create, &mut |_| Ok(()))
    }

    /// Opens the section; it must exist.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound),
    /// [`ForeignOwner`](crate::ErrorKind::ForeignOwner) for a name of another user's,
    /// [`TooLarge`](crate::ErrorKind::TooLarge) where it is smaller than the
    /// [`size`](Self::size) asked for, and those of [`create`](Self::create).
    pub fn open(&self) -> Result<Section> {
        Section::obtain(self, How::Open, &mut |_| Ok(()))
    }

    /// Opens the section or makes it; [`Section::origin`] says which.
    ///
    /// # Errors
    /// Those of [`create`](Self::create) and [`open`](Self::open).
    pub fn open_or_create(&self) -> Result<Section> {
        Section::obtain(self, How::OpenOrCreate, &mut |_| Ok(()))
    }

    /// As [`create`](Self::create); `fill` writes the first content before others see the section:
    /// files, and names on Unix, are built aside and published whole. A named section of Windows
    /// is visible from its first moment, so there `fill` runs under a mutex that
    /// `open_or_create_with` waits for, and must store a mark last by which
    /// openers know that it is ready ([`Section::refill`] is for those who find none).
    ///
    /// # Errors
    /// Those of [`create`](Self::create), and what `fill` answers, with nothing left behind.
    pub fn create_with(&self, mut fill: impl FnMut(&View) -> Result<()>) -> Result<Section> {
        Section::obtain(self, How::Create, &mut fill)
    }

    /// As [`open_or_create`](Self::open_or_create), with `fill` as in
    /// [`create_with`](Self::create_with).
    ///
    /// # Errors
    /// Those of [`open_or_create`](Self::open_or_create), and what `fill` answers.
    pub fn open_or_create_with(
        &self,
        mut fill: impl FnMut(&View) -> Result<()>,
    ) -> Result<Section> {
        Section::obtain(self, How::OpenOrCreate, &mut fill)
    }
}

/// A handle's place among the users of a section; from [`Section::attach`]. It is given back when
/// this value is dropped, or when the process ends in any way.
#[must_use = "dropping it detaches"]
pub struct Attachment {
    shared: Arc<Shared>,
    alone: bool,
    done: bool,
}

impl Attachment {
    /// Whether nobody else was attached. Stays true after others came.
    pub fn alone(&self) -> bool {
        self.alone
    }

    /// Ends the moment in which no other process can attach.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] with the system's code; the place is lost then.
    pub fn done(&mut self) -> Result<()> {
        if !self.done {
            Imp::attached(&self.shared.sys)
                .map_err(|error| self.shared.with_context("attach to", error))?;
            self.done = true;
        }
        Ok(())
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        Imp::detach(&self.shared.sys);
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("alone", &self.alone)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}
