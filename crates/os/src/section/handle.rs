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

/// A handle of shared memory: of a file, of named memory, or of anonymous memory.
///
/// A named section lives until its last handle is closed, on every system. Each [`View`] keeps the
/// handle of its section open. Without that, a name could be removed while a view uses it: on
/// Windows the name is removed with the last *handle*, and the next process would create another,
/// empty section.
///
/// A section is `Send` and `Sync`.
///
/// ```
/// use mapvar_os::Section;
///
/// let section = Section::options().size(4096).max_size(1 << 20).create()?;
/// let view = section.view().len(4096).reserve(1 << 20).map()?;
///
/// // Each process grows its own views after one of them has grown the section.
/// section.grow(64 << 10)?;
/// view.grow(64 << 10)?;
/// view.write_at(5000, b"new part")?;
/// # Ok::<(), mapvar_os::Error>(())
/// ```
pub struct Section {
    pub(crate) shared: Arc<Shared>,
    origin: Origin,
}

/// What writes the initial content of a new section.
type Fill<'a> = dyn FnMut(&View) -> Result<()> + 'a;

impl Section {
    /// Returns the default options to create or open a section.
    pub fn options() -> SectionOptions {
        SectionOptions::default()
    }

    fn obtain(options: &SectionOptions, how: How, mut fill: Option<&mut Fill<'_>>) -> Result<Self> {
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
            // A 32-bit process can create a section that it cannot map as a whole.
            let Some(fill) = fill.as_mut() else { return Ok(()) };
            let section = Self::wrap(sys, options, Origin::Created);
            let view = section.first_view().map()?;
            fill(&view)
        })?;
        Ok(Self::wrap(sys, options, origin))
    }

    fn wrap(sys: <Imp as Platform>::Section, options: &SectionOptions, origin: Origin) -> Self {
        Self { shared: Arc::new(Shared::new(sys, options.clone())), origin }
    }

    /// Returns options for a view of the initial size. The size that the system reports may be
    /// `max_size` instead (Windows).
    fn first_view(&self) -> ViewOptions<'_> {
        let mut view = self.view();
        view.len = self.shared.options.max_size.and(self.shared.options.size);
        view
    }

    /// Returns whether the call that returned this handle created or opened the section.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Returns the current size in bytes.
    ///
    /// The size is exact, except for page-file memory of Windows, where it is rounded up to a page.
    /// For page-file memory that may grow it is the [`max_size`](SectionOptions::max_size). Windows
    /// does not report how far such a section has grown: store that in the memory itself, and set
    /// the [`len`](ViewOptions::len) of views.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] with the system's code.
    pub fn size(&self) -> Result<u64> {
        self.shared.size()
    }

    /// Returns how many bytes of disk or memory the system has allocated for the section; `None` if
    /// it does not tell.
    ///
    /// A sparse or compressed file has fewer than its [`size`](Self::size), and another file may
    /// have more, since file systems allocate whole blocks. Windows does not tell of page-file
    /// memory, nor macOS of shared memory.
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("mapvar-os-held.{}", std::process::id()));
    /// # let _ = std::fs::remove_file(&path);
    /// let section = mapvar_os::Section::options().file(&path).size(65536).create()?;
    /// assert!(section.allocated()?.is_none_or(|bytes| bytes >= 65536));
    /// # let _ = std::fs::remove_file(path);
    /// # Ok::<(), mapvar_os::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Io`] with the system's code.
    #[doc(hidden)]
    pub fn allocated(&self) -> Result<Option<u64>> {
        Imp::allocated(&self.shared.sys)
            .map_err(|error| self.shared.with_context("find the disk space of", error))
    }

    /// Returns the first range from byte `at` on that may hold anything but zeros, as its start and
    /// its end; `None` if only zeros follow.
    ///
    /// With it a large, sparse section can be read without its holes, which would take memory and
    /// time. On Linux the file system tells where they are (ext4, xfs, btrfs, f2fs, tmpfs).
    /// Elsewhere everything from `at` to the end counts.
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("mapvar-os-data.{}", std::process::id()));
    /// use mapvar_os::Section;
    ///
    /// let section = Section::options().file(&path).size(4096).create()?;
    /// section.view().map()?.write_at(0, b"data")?;
    /// assert_eq!(section.data_from(0)?, Some((0, 4096)));
    /// assert_eq!(section.data_from(4096)?, None);
    /// # drop(section);
    /// # let _ = std::fs::remove_file(path);
    /// # Ok::<(), mapvar_os::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Io`] with the system's code.
    #[doc(hidden)]
    pub fn data_from(&self, at: u64) -> Result<Option<(u64, u64)>> {
        Imp::data_from(&self.shared.sys, at)
            .map_err(|error| self.shared.with_context("find the data of", error))
    }

    /// Returns the start of the range that [`data_from`](Self::data_from) returns. On Linux
    /// `data_from` takes time for each page of that range; this does not.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] with the system's code.
    #[doc(hidden)]
    pub fn next_data(&self, at: u64) -> Result<Option<u64>> {
        Imp::next_data(&self.shared.sys, at)
            .map_err(|error| self.shared.with_context("find the data of", error))
    }

    /// Extends the section to at least `size` bytes, for every process.
    ///
    /// The new bytes are zero. Memory or disk space is allocated for them, unless
    /// [`RESERVE`](SectionFlags::RESERVE) is set. The call does not change existing views; each
    /// process calls [`View::grow`] to make the new part reachable.
    ///
    /// The call never shortens the section. Processes that grow it at the same time wait for each
    /// other, and the result is the largest size.
    ///
    /// # Errors
    /// * [`ErrorKind::NoSpace`]: the section is unchanged. Some file systems allocate space only by
    ///   a write; then the written part is cut off again, unless the file has become longer than
    ///   `size` meanwhile.
    /// * [`ErrorKind::TooLarge`] beyond the [`max_size`](SectionOptions::max_size), or the limits
    ///   of the system.
    /// * [`ErrorKind::ReadOnly`].
    /// * [`ErrorKind::TimedOut`] if another process grows the section for longer than the timeout.
    /// * [`ErrorKind::Unsupported`] for large pages and executable images.
    pub fn grow(&self, size: u64) -> Result<()> {
        self.grow_from(0, size)
    }

    /// Extends the section like [`grow`](Self::grow), unless it has become shorter than `known`
    /// bytes.
    ///
    /// A program that has read or written `known` bytes says so here. If another program has
    /// truncated the file meanwhile, an extension would fill the lost bytes with zeros, and nobody
    /// would notice the loss. Between this check and the extension there remain a few
    /// microseconds in which a truncation stays unnoticed.
    ///
    /// # Errors
    /// Those of `grow`, and [`ErrorKind::Truncated`]: the file keeps its length.
    pub fn grow_from(&self, known: u64, size: u64) -> Result<()> {
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
            _ => Imp::grow(&self.shared.sys, options, known, size)
                .map_err(|error| self.shared.with_context("grow", error)),
        }
    }

    /// Checks that the section is still what its path or name leads to.
    ///
    /// On Unix a file can be removed or replaced while it is mapped: by `rm`, by `mv` of another
    /// file onto it, or by an editor that saves a new file under the old name. Its users then
    /// share memory that no other process can find, and that is gone with the last of them. The
    /// same is true of a name that a program unlinked by hand. The call takes two system calls.
    ///
    /// Sections without a path or name, and native names, always pass.
    ///
    /// # Errors
    /// [`ErrorKind::NameRemoved`].
    pub fn check_name(&self) -> Result<()> {
        Imp::check_name(&self.shared.sys).map_err(|error| self.shared.with_context("check", error))
    }

    /// Returns the identity of the section's file; `None` if it has no file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] with the system's code.
    #[doc(hidden)]
    pub fn id(&self) -> Result<Option<SectionId>> {
        Imp::id(&self.shared.sys).map_err(|error| self.shared.with_context("identify", error))
    }

    /// Returns options to map a range of the section.
    ///
    /// The default is the whole section, writable if the section's protection permits it.
    pub fn view(&self) -> ViewOptions<'_> {
        ViewOptions::new(&self.shared)
    }

    /// Closes the handle and reports errors, unlike a drop.
    ///
    /// If views of the section still exist, the handle stays open until the last one is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] with the system's code. The handle is closed nevertheless.
    pub fn close(self) -> Result<()> {
        match Arc::into_inner(self.shared) {
            Some(Shared { sys, options, .. }) => {
                Imp::close(sys).map_err(|error| error.during("close", options.describe()))
            }
            None => Ok(()),
        }
    }
}

/// What the users of a section agree on among themselves, for a library that builds on sections.
pub trait Attach {
    /// Runs `fill` while no other process fills this section.
    ///
    /// For a named section of Windows whose creator died before it had filled the section. `fill`
    /// must first check whether another process has filled it meanwhile.
    ///
    /// # Errors
    /// The error of `fill`; [`ErrorKind::TimedOut`] if another process fills the section for longer
    /// than the timeout.
    fn refill(&self, fill: impl FnOnce(&View) -> Result<()>) -> Result<()>;

    /// Registers this handle among the users of the section.
    ///
    /// The registration ends when the [`Attachment`] is dropped, or when the process ends in any
    /// way. Until the caller calls [`Attachment::done`], this call blocks in every other process.
    /// In that time a process that is [alone](Attachment::alone) may repair the section. The
    /// registration is optional; a section can be used without it.
    ///
    /// A read-only handle only waits until no other process is between `attach` and `done`. It is
    /// not registered, since a reader leaves nothing that needs a repair. It is never alone.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if another process does not call `done` within `timeout`;
    /// [`ErrorKind::Io`].
    fn attach(&self, timeout: Duration) -> Result<Attachment>;
}

impl Attach for Section {
    fn refill(&self, fill: impl FnOnce(&View) -> Result<()>) -> Result<()> {
        let view = self.first_view().map()?;
        let mut fill = Some(fill);
        Imp::alone_filling(&self.shared.sys, &self.shared.options, &mut || {
            fill.take().map_or(Ok(()), |fill| fill(&view))
        })
    }

    fn attach(&self, timeout: Duration) -> Result<Attachment> {
        let alone = Imp::attach(&self.shared.sys, timeout)
            .map_err(|error| self.shared.with_context("attach to", error))?;
        Ok(Attachment { shared: self.shared.clone(), alone, done: false })
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
    /// Creates the section, which must not exist.
    ///
    /// # Errors
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists),
    /// [`NoSpace`](crate::ErrorKind::NoSpace) with nothing left behind,
    /// [`NameTaken`](crate::ErrorKind::NameTaken) if an object of another kind has the name,
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied),
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument),
    /// [`Unsupported`](crate::ErrorKind::Unsupported).
    pub fn create(&self) -> Result<Section> {
        Section::obtain(self, How::Create, None)
    }

    /// Opens the section, which must exist.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound),
    /// [`ForeignOwner`](crate::ErrorKind::ForeignOwner) if the named section belongs to another
    /// user, [`TooLarge`](crate::ErrorKind::TooLarge) if it is smaller than the requested
    /// [`size`](Self::size), and those of [`create`](Self::create).
    pub fn open(&self) -> Result<Section> {
        Section::obtain(self, How::Open, None)
    }

    /// Opens the section, or creates it if it does not exist.
    ///
    /// [`Section::origin`] reports which of the two happened. Of several processes that make this
    /// call at once, exactly one creates the section.
    ///
    /// # Errors
    /// Those of [`create`](Self::create) and [`open`](Self::open).
    pub fn open_or_create(&self) -> Result<Section> {
        Section::obtain(self, How::OpenOrCreate, None)
    }

    /// As [`create`](Self::create), but `fill` writes the initial content.
    ///
    /// Files, and named sections on Unix, are built aside: other processes see them only after
    /// `fill` has returned. A named section of Windows is visible as soon as it exists. There
    /// `fill` runs under a mutex for which `open_or_create_with` waits. It must store a mark last,
    /// by which openers recognize a filled section; an opener that finds no mark calls
    /// [`Attach::refill`].
    ///
    /// # Errors
    /// Those of [`create`](Self::create), and the error of `fill`. The section does not exist then.
    pub fn create_with(&self, mut fill: impl FnMut(&View) -> Result<()>) -> Result<Section> {
        Section::obtain(self, How::Create, Some(&mut fill))
    }

    /// As [`open_or_create`](Self::open_or_create), with `fill` as in
    /// [`create_with`](Self::create_with).
    ///
    /// # Errors
    /// Those of [`open_or_create`](Self::open_or_create), and the error of `fill`.
    pub fn open_or_create_with(
        &self,
        mut fill: impl FnMut(&View) -> Result<()>,
    ) -> Result<Section> {
        Section::obtain(self, How::OpenOrCreate, Some(&mut fill))
    }
}

/// A handle's registration among the users of a section; from [`Attach::attach`].
///
/// The registration ends when this value is dropped, or when the process ends in any way.
///
/// ```
/// use mapvar_os::{Attach, Section};
/// use std::time::Duration;
///
/// let section = Section::options().size(4096).create()?;
/// let mut attachment = section.attach(Duration::from_secs(5))?;
/// if attachment.alone() {
///     // No other process can attach now: repair what dead processes left half-changed.
/// }
/// attachment.done()?;
/// # Ok::<(), mapvar_os::Error>(())
/// ```
#[must_use = "dropping it detaches"]
pub struct Attachment {
    shared: Arc<Shared>,
    alone: bool,
    done: bool,
}

impl Attachment {
    /// Returns whether no other handle was attached when this one attached.
    ///
    /// The result does not change when other handles attach later.
    pub fn alone(&self) -> bool {
        self.alone
    }

    /// Lets other processes attach again.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] with the system's code; this handle may then no longer be registered.
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
