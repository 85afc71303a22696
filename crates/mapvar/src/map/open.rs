//! Opens or creates a map by its options.

mod claim;
#[cfg_attr(not(feature = "gem"), path = "open/no_gem.rs")]
mod gem;
pub(crate) mod trust;
mod private;

use crate::{
    Map,
    gem::map::Gem,
    map::Body,
    map::options::{MapOptions, SUFFIX, Want},
    map::store_map::Inner,
    map::store_map::Stored,
    plain::Layouts,
    report::{Format, Recover, Recovery},
};
use mapvar_engine::{
    durable::recover::Recovered,
    error::EngineError,
    header,
    header::{Facts, HeaderError},
    layout,
    mem::mapped::{Called, Mapped},
    mem::{Mem, Ordering, Private},
    store::Store,
};
use mapvar_os::{
    Attach, Error, ErrorKind, Locks, Name, Protection, Result, Scope, Section, SectionOptions,
    View, machine,
};
use std::{
    sync::atomic::AtomicBool,
    time::{Duration, Instant, SystemTime},
};
use trust::{Policy, Relation};

/// How long a recovery may take, unless the options say so. Not the timeout alone: a program whose
/// waits are to be interruptible sets a short one and calls again, and would recover for ever.
const RECOVERY: Duration = Duration::from_secs(5);
/// The same for a check.
const CHECK: Duration = Duration::from_mins(1);

impl MapOptions {
    /// Creates the map; it must not exist.
    ///
    /// 64 KiB of memory or disk are allocated here, whatever the [`size`](Self::size). A
    /// [`Format::Marshal`] map gets all of its size.
    ///
    /// ```
    /// # let name = format!("doc-create.{}", std::process::id());
    /// use mapvar::{ErrorKind, Map};
    ///
    /// let map = Map::options().name(&name).create()?;
    /// let error = Map::options().name(&name).create().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists); [`InvalidName`](ErrorKind::InvalidName);
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) without a name and a file, with both, for a
    /// size of 0, or with [`read_only`](Self::read_only); [`TooLarge`](ErrorKind::TooLarge);
    /// [`NoSpace`](ErrorKind::NoSpace), and nothing is left behind;
    /// [`PermissionDenied`](ErrorKind::PermissionDenied); [`NameTaken`](ErrorKind::NameTaken);
    /// [`Unsupported`](ErrorKind::Unsupported) for the reasons given at [`open`](Self::open).
    pub fn create(&self) -> Result<Map> {
        self.obtain("create", Want::Create)
    }

    /// Opens the map; it must exist, or come into being within the time of [`wait`](Self::wait).
    ///
    /// ```
    /// # let name = format!("doc-open.{}", std::process::id());
    /// use mapvar::{ErrorKind, Map};
    ///
    /// let error = Map::options().name(&name).open().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    ///
    /// let map = Map::options().name(&name).create()?;
    /// let same = Map::options().name(&name).open()?;
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound); [`NotAMap`](ErrorKind::NotAMap) for a file or section
    /// that is not a map, and for a map that its creator does not complete in time;
    /// [`Version`](ErrorKind::Version);
    /// [`Corrupt`](ErrorKind::Corrupt); [`Truncated`](ErrorKind::Truncated);
    /// [`ForeignOwner`](ErrorKind::ForeignOwner) for a name that belongs to another user;
    /// [`TimedOut`](ErrorKind::TimedOut) if another process does not finish opening it, or if its
    /// recovery takes longer than the [`recovery_timeout`](Self::recovery_timeout);
    /// [`PermissionDenied`](ErrorKind::PermissionDenied).
    ///
    /// [`NeedsRecovery`](ErrorKind::NeedsRecovery) for a copy of a file, and for a file that was
    /// last used before a restart, if this handle may not recover it: while another process has the
    /// file open for writing, or if [`recover`](Self::recover) does not permit it. A handle for
    /// reading never recovers the file. It reads a copy in its own memory, which is as the last
    /// complete flush left the file and does not change; with [`Recover::Never`] it fails.
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) for a map whose users are in another pid namespace,
    /// or may use it by another mount ([`take_over`](Self::take_over)), and for a file on a network
    /// drive or on FUSE ([`allow_network`](Self::allow_network)). Opening also fails with
    /// `Unsupported` on macOS and FreeBSD, which cannot report whether the owner of a lock is alive.
    pub fn open(&self) -> Result<Map> {
        self.awaited(|| self.obtain("open", Want::Open))
    }

    /// Repeats the attempt while there is no map, for as long as [`wait`](Self::wait) says.
    pub(crate) fn awaited<T>(&self, attempt: impl Fn() -> Result<T>) -> Result<T> {
        // A deadline that the clock cannot represent is never reached: then there is none.
        let deadline = Instant::now().checked_add(self.wait);
        loop {
            let error = match attempt() {
                Err(error) if error.kind() == ErrorKind::NotFound => error,
                done => return done,
            };
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            match left {
                Some(Duration::ZERO) => return Err(error),
                left => machine::nap(left.map_or(LOOK, |left| left.min(LOOK))),
            }
        }
    }

    /// Opens the map, or creates it if it does not exist; [`Map::origin`] reports which.
    ///
    /// If many processes call this at the same time, one creates the map and all open the same map.
    ///
    /// ```
    /// # let name = format!("doc-open-or-create.{}", std::process::id());
    /// use mapvar::Map;
    ///
    /// let map = Map::options().name(&name).size(2000).open_or_create()?;
    /// map.set("foo", "hello")?;
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(&self) -> Result<Map> {
        self.obtain("open or create", Want::Either)
    }

    pub(crate) fn section(&self) -> Result<SectionOptions> {
        let refuse =
            |detail: &str| Error::new(ErrorKind::InvalidArgument, "open map", "").detail(detail);
        let options = match (&self.file, &self.name) {
            (Some(_), Some(_)) => return Err(refuse("both a name and a file; give one of them")),
            (None, None) => return Err(refuse("neither a name nor a file; give one of them")),
            (Some(file), None) => Section::options().file(file),
            (None, Some(name)) => {
                Section::options().name(Name::scoped(name, self.scope)?.with_suffix(SUFFIX))
            }
        };
        let protection = if self.read_only { Protection::ReadOnly } else { Protection::ReadWrite };
        Ok(options.protection(protection).allow_network(self.allow_network).timeout(self.timeout))
    }

    fn obtain(&self, verb: &'static str, want: Want) -> Result<Map> {
        let object = self.object();
        self.try_obtain(want, &object).map_err(|error| {
            let remedy = match (error.kind(), &self.name, self.scope) {
                // Only where it helps: a global name of another user is refused.
                (ErrorKind::NotFound, Some(_), Scope::Local)
                    if self.clone().scope(Scope::Global).is_stored() =>
                {
                    Some("no map of this name in this session, but a global one; use Scope::Global")
                }
                (ErrorKind::NotFound, Some(_), _)
                    if self.format.is_none() && self.gem_section().is_some() =>
                {
                    Some(
                        "no map of mapvar has this name, but a section without variables does: \
                         `Format::Marshal` opens it as a map of Ruby's gem, and `Section` opens \
                         its bytes",
                    )
                }
                (ErrorKind::NotFound, Some(_), Scope::Local) => Some(
                    "no map of this name in this session; create it first (`mapvar hold` does)",
                ),
                (ErrorKind::NotFound, Some(_), Scope::Global) => {
                    Some("no global map of this name; create it first")
                }
                (ErrorKind::NotFound, None, _) => {
                    Some("no such file; `open_or_create`, or `mapvar set --file`, creates it")
                }
                _ => None,
            };
            let error = error.during(verb, object.clone());
            match remedy {
                Some(remedy) => error.detail(remedy),
                None => error,
            }
        })
    }

    fn try_obtain(&self, want: Want, object: &str) -> Result<Map> {
        let stored = |want| Ok(Map(Body::Store(self.obtain_stored(want, object)?)));
        match (self.format, want) {
            (Some(Format::Marshal), _) => Ok(Map(Body::Gem(self.obtain_gem(want)?))),
            (Some(Format::Store), _) | (None, Want::Create) => stored(want),
            (None, Want::Open | Want::Either) => {
                // Under a name, an existing gem map comes before a new map.
                let first = if self.file.is_some() { want } else { Want::Open };
                match stored(first) {
                    Err(error)
                        if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotAMap) =>
                    {
                        let is_absent = error.kind() == ErrorKind::NotFound;
                        match self.gem_section() {
                            Some((spec, true)) => {
                                Gem::open(&spec, false).map(|it| Map(Body::Gem(it)))
                            }
                            _ if first != want && is_absent => stored(want),
                            _ => Err(error),
                        }
                    }
                    other => other,
                }
            }
        }
    }

    /// Whether a map of [`Format::Store`] is there, unless these options say another format.
    fn is_stored(&self) -> bool {
        let examine = || {
            let section = self.clone().read_only(true).section()?.open()?;
            let view = section.view().len(layout::header::WORDS as u64 * 8).map()?;
            let words = view.words(0, layout::header::WORDS);
            let bytes = section.size()?;
            Ok::<_, Error>(words.is_some_and(|words| header::examine(words, bytes).is_ok()))
        };
        self.format != Some(Format::Marshal) && examine().unwrap_or(false)
    }

    fn obtain_stored(&self, want: Want, object: &str) -> Result<Stored> {
        self.refuse_settings_of_a_gem()?;
        if !self.read_only {
            // The words of the locks have ids of this namespace. Without knowing it, a writer could
            // take its locks for those of processes in another one.
            machine::pid_namespace()?;
        }
        let options = self.section()?;
        let made = if want == Want::Open { None } else { Some(self.facts()?) };
        let section = match (want, &made) {
            (Want::Create, Some(facts)) => {
                sized(options, facts).create_with(|view| fill(view, facts))?
            }
            (Want::Either, Some(facts)) => {
                // First opens without a size: an existing map may be smaller than the size for a
                // new one.
                let found = options.clone().open();
                match found {
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        match sized(options.clone(), facts)
                            .open_or_create_with(|view| fill(view, facts))
                        {
                            // Another process created a smaller map meanwhile.
                            Err(error) if error.kind() == ErrorKind::TooLarge => {
                                match options.open() {
                                    Err(none) if none.kind() == ErrorKind::NotFound => {
                                        return Err(error);
                                    }
                                    other => other?,
                                }
                            }
                            other => other?,
                        }
                    }
                    other => other?,
                }
            }
            _ => options.open()?,
        };
        let facts = self.await_ready(&section, made.as_ref())?;
        if facts.file != self.file.is_some() {
            return Err(Error::new(ErrorKind::NotAMap, "open", "").detail(if facts.file {
                "it is a copy of a map's file; open the file"
            } else {
                "it is a copy of a named map's memory, with the locks of its users; make a map in a \
                 file and set its variables"
            }));
        }
        let len = length_now(&section, &facts)?;
        let view = section.view().len(len).reserve(self.reservation(&facts, len)).map()?;
        let mut attachment = section.attach(self.timeout)?;
        let scope = if facts.file { Scope::Global } else { self.scope };
        // Windows names its objects after this. A copy of a file has the header of the original, and
        // another place on the disk.
        let place = section.id()?.map_or_else(String::new, |id| format!("{:016x}", id.file));
        let id = format!("{:016x}{:016x}{place}", facts.uuid[0], facts.uuid[1]);
        let corrupt = |trouble: EngineError| trouble.during("open", object.into());
        let origin = section.origin();
        let in_use = InUse { scope, id, timeout: self.timeout, read_only: self.read_only };
        let mut store = Store::new(in_use.mapped(view, section)?, &facts).map_err(corrupt)?;
        let within = self.recovery_timeout.unwrap_or(self.timeout.max(RECOVERY));
        let deadline = Instant::now().checked_add(within);
        let late = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let recovered = if !self.read_only {
            let policy = Policy { recover: self.recover, take_over: self.take_over };
            trust::ensure(&mut store, attachment.alone(), policy, &late).map_err(corrupt)?
        } else if trust::may_read(&store, &late)? {
            None
        } else if self.recover == Recover::Never {
            return Err(trust::not_recovered());
        } else {
            let relation = trust::relation_of(&store)?;
            match recovered_copy(&store, &facts, &in_use, &late).map_err(corrupt)? {
                Some((copy, recovered)) => {
                    store = copy;
                    Some((recovered, relation))
                }
                None => {
                    store.reload().map_err(corrupt)?;
                    None
                }
            }
        };
        attachment.done()?;
        if !self.read_only {
            trust::enter(&store, self.take_over).map_err(corrupt)?;
        }
        Ok(Stored::of(Inner {
            store,
            attachment,
            facts,
            recovered: recovered.map(|(found, relation)| recovery(&found, relation)),
            origin,
            object: object.into(),
            generation: machine::generation(),
            check_timeout: self.check_timeout(),
            epoch: Private::new(machine::epoch().into()),
            opened: Instant::now(),
            named_at: Private::new(0),
            ephemeral: AtomicBool::new(false),
            layouts: Layouts::default(),
            #[cfg(feature = "stream")]
            notifier: std::sync::Mutex::default(),
        }))
    }

    /// How long a check may take.
    pub(crate) fn check_timeout(&self) -> Duration {
        self.recovery_timeout.unwrap_or(self.timeout.max(CHECK))
    }

    /// How many bytes of address space to reserve, within which the views can grow.
    ///
    /// Each map that may grow without a limit gets a part of what the earlier ones have left. So
    /// the maps of a process never take all its addresses, however many it opens.
    fn reservation(&self, facts: &Facts, len: u64) -> u64 {
        const WIDE: bool = cfg!(target_pointer_width = "64");
        const MOST: u64 = 64 << 30;
        const LEAST: u64 = if WIDE { 256 << 20 } else { 4 << 20 };
        const OF_ALL_MAPS: u64 = if WIDE { 8 << 40 } else { 1 << 30 };
        const PART: u64 = if WIDE { 64 } else { 8 };
        let left = OF_ALL_MAPS.saturating_sub(machine::addresses_taken() as u64);
        let size = if WIDE { header::region_bytes(facts.size).unwrap_or(0) } else { 0 };
        let part = (left / PART).clamp(LEAST, MOST).max(len.saturating_mul(4)).max(size);
        match (facts.max_size, self.max_size) {
            (0, None) => part,
            // What its creator allowed is too much for a process with few addresses.
            (most, None) if !WIDE => most.min(part).max(len),
            (0, Some(most)) | (most, _) => most.max(len),
        }
    }

    /// The facts that a new map's header will contain.
    fn facts(&self) -> Result<Facts> {
        let refuse = |kind, detail: String| Err(Error::new(kind, "create", "").detail(detail));
        if self.read_only {
            return refuse(
                ErrorKind::InvalidArgument,
                "a new map opened for reading only would stay empty; remove `read_only`".into(),
            );
        }
        if self.size == 0 {
            return refuse(
                ErrorKind::InvalidArgument,
                "size 0; give a size of at least 1 byte".into(),
            );
        }
        let Some(needed) = header::region_bytes(self.size) else {
            return refuse(
                ErrorKind::TooLarge,
                format!(
                    "a map for {} bytes of values needs more than 16 TiB; use a smaller size",
                    self.size
                ),
            );
        };
        let [seed, _] = machine::random()?;
        let created = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Ok(Facts {
            uuid: machine::random()?,
            seed,
            size: self.size,
            region: header::NEW_REGION,
            max_size: match self.max_size {
                Some(most) => most.max(needed),
                None if self.file.is_some() => 0,
                None => needed.max(1 << 30),
            },
            file: self.file.is_some(),
            created: created.map_or(0, |since| since.as_secs()),
            creator: std::process::id(),
        })
    }

    /// Waits for a map that another process is creating, and returns the facts of its header.
    ///
    /// If the creator died before it was done, an opener that may create the map (`made`) fills it.
    fn await_ready(&self, section: &Section, made: Option<&Facts>) -> Result<Facts> {
        let bytes = section.size()?;
        if bytes < layout::META_CHUNKS * layout::CHUNK {
            return Err(Error::new(ErrorKind::NotAMap, "open", "").detail(format!(
                "{bytes} bytes are too few for a map; use another path or name, or remove it"
            )));
        }
        let view = section.view().len(layout::header::WORDS as u64 * 8).map()?;
        let words = || {
            view.words(0, layout::header::WORDS).ok_or_else(|| {
                Error::new(ErrorKind::Io, "open", "").detail("the view is not aligned")
            })
        };
        let deadline = Instant::now().checked_add(self.timeout);
        loop {
            let flaw = match header::examine(words()?, bytes) {
                Ok(facts) => return Ok(facts),
                Err(flaw) => flaw,
            };
            if flaw == HeaderError::NotReady && self.file.is_some() {
                // A file gets its name when it is filled, so no creator is at work on this one.
                return Err(header_error(HeaderError::NotAMap, bytes));
            }
            if flaw != HeaderError::NotReady {
                return Err(header_error(flaw, bytes));
            }
            match made {
                Some(facts) => {
                    let region = facts.region.min(bytes / layout::CHUNK * layout::CHUNK);
                    let facts = Facts { region, ..*facts };
                    section.refill(|whole| {
                        if header::examine(words()?, bytes) == Err(HeaderError::NotReady) {
                            fill(whole, &facts)?;
                        }
                        Ok(())
                    })?;
                }
                None if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                    return Err(header_error(flaw, bytes));
                }
                None => machine::nap(Duration::from_millis(1)),
            }
        }
    }
}

/// How the system's objects of a region are named, and how long an operation waits.
struct InUse {
    scope: Scope,
    id: String,
    timeout: Duration,
    /// Whether this process only reads it, and so takes no lock.
    read_only: bool,
}

impl InUse {
    fn mapped(&self, view: View, section: Section) -> Result<Mapped> {
        let (most, slots) = (layout::PARTICIPANTS as usize, layout::PARTICIPANT_SLOTS);
        let locks = if self.read_only { Locks::for_reading } else { Locks::new };
        let locks = locks(self.scope, &self.id, most, slots)?;
        let called = Called { scope: self.scope, id: self.id.clone() };
        Ok(Mapped::new(view, section, locks, called, self.timeout))
    }
}

/// Recovers a copy of the region in memory of this process, and returns it for reading; `None` if
/// another process has recovered the file meanwhile.
fn recovered_copy(
    store: &Store<Mapped>,
    facts: &Facts,
    in_use: &InUse,
    late: &dyn Fn() -> bool,
) -> std::result::Result<Option<(Store<Mapped>, Recovered)>, EngineError> {
    let is_current = || trust::may_read(store, late);
    let copied = private::copy(store.mem().section(), store.mem().limit(), &is_current, late)?;
    let Some(copy) = copied else { return Ok(None) };
    let mut whole = Store::new(in_use.mapped(copy.view, copy.section)?, facts)?;
    let recovered = whole.recover_if(copy.bytes, late, |_| Ok(()))?;
    let len = whole.mem().view().len() as u64;
    let (unmapped, section) = whole.into_mem().close();
    unmapped?;
    let view = private::for_reading(&section, len)?;
    Ok(Some((Store::new(in_use.mapped(view, section)?, facts)?, recovered)))
}

fn recovery(found: &Recovered, relation: Relation) -> Recovery {
    Recovery {
        variables: found.variables,
        lost: found.lost,
        damaged: found.damaged,
        rolled_back: found.rolled_back,
        torn: trust::is_torn(found, relation),
    }
}

impl Map {
    /// Returns options to create or open a map.
    pub fn options() -> MapOptions {
        MapOptions::default()
    }

    /// Opens the map of this name in [`Scope::Local`], for reading and writing.
    ///
    /// ```
    /// # let name = format!("doc-map-open.{}", std::process::id());
    /// use mapvar::Map;
    ///
    /// let map = Map::options().name(&name).create()?;
    /// map.set("foo", "hello")?;
    /// assert_eq!(Map::open(&name)?.get::<String>("foo")?, "hello");
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), and the other errors of [`MapOptions::open`].
    pub fn open(name: &str) -> Result<Self> {
        Self::options().name(name).open()
    }
}

/// How often a waiting `open` looks for the map.
const LOOK: Duration = Duration::from_millis(20);

/// The present length of the region as its live words say, bounded by the section's real size.
///
/// Refuses a file of this boot that is shorter than these words say: another program has truncated
/// it. Another file, or one of another boot, may have lost its end in a copy or a power cut, and a
/// recovery finds out what that took. The file is refused here, before it is mapped with space to
/// grow, which makes a file of Windows longer.
fn length_now(section: &Section, facts: &Facts) -> Result<u64> {
    let view = section.view().len(layout::META_CHUNKS * layout::CHUNK).map()?;
    let at = layout::live::AT as usize + layout::live::CHUNKS * 8;
    let said = view.words(at, 1).map_or(0, |words| words.load(0, Ordering::Acquire));
    let said = said.saturating_mul(layout::CHUNK).max(facts.region);
    // The size last: a section grows before the region does.
    let bytes = section.size()?;
    let len = said.min(bytes / layout::CHUNK * layout::CHUNK);
    if len < said && facts.file && trust::relation_within(&view, section)? == trust::Relation::Own {
        return Err(header_error(HeaderError::Truncated { said }, bytes));
    }
    Ok(len)
}

/// Sets the size of a new section, and its maximum if there is one.
fn sized(options: SectionOptions, facts: &Facts) -> SectionOptions {
    let options = options.size(facts.region);
    if facts.max_size == 0 { options } else { options.max_size(facts.max_size) }
}

/// Writes an empty region into a new section.
fn fill(view: &View, facts: &Facts) -> Result<()> {
    let bad = || Error::new(ErrorKind::Io, "create", "").detail("the view is too short");
    let words = |at: u64, count| {
        view.words_mut(usize::try_from(at).map_err(|_| bad())?, count).ok_or_else(bad)
    };
    // Also for a file, which gets its own later: where the system does not report it, or this
    // process has no free descriptor, the creation fails before the file has its name.
    let here = trust::identity(None)?;
    // A section without a file is of this boot from the start, and nothing has to be recovered.
    if !facts.file {
        here.write(words(layout::identity::AT, layout::identity::WORDS)?);
    }
    for chunk in header::table_chunks(0, facts.region / layout::CHUNK) {
        words(layout::table_word(chunk), 1)?.store(0, layout::kind::TABLE, Ordering::Relaxed);
    }
    let meta = (layout::META_CHUNKS * layout::CHUNK) as usize;
    header::format(words(0, meta / 8)?, facts);
    if facts.file {
        // The header is synced before the file gets its name. So a power cut during the creation
        // leaves no file, or an empty map.
        view.flush_durable(0..meta)?;
    }
    Ok(())
}

pub(crate) fn header_error(flaw: HeaderError, bytes: u64) -> Error {
    let error = |kind, detail: String| Error::new(kind, "open", "").detail(detail);
    match flaw {
        HeaderError::NotReady => error(
            ErrorKind::NotAMap,
            "it is unfinished: its creator stopped half-way; remove it, or open it with \
             `open_or_create`"
                .into(),
        ),
        HeaderError::NotAMap => error(
            ErrorKind::NotAMap,
            "it is not a map; use another path or name, or remove it".into(),
        ),
        HeaderError::Version(version) => error(
            ErrorKind::Version,
            format!(
                "its version is {version}, and this build supports only version {}; use a build \
                 that supports it",
                layout::VERSION
            ),
        ),
        HeaderError::Layout => error(
            ErrorKind::Version,
            "it was laid out by another build of this version; use that build".into(),
        ),
        HeaderError::Corrupt(what) => error(
            ErrorKind::Corrupt,
            format!("{what}: a program or the disk damaged it; restore it from a copy"),
        ),
        HeaderError::Truncated { said } => error(
            ErrorKind::Truncated,
            format!("it has {bytes} bytes and should have {said}; restore it from a copy"),
        ),
    }
}
