//! Waiting until a condition on variables holds.

use crate::{Change, Map, PlainVar, Var, Watch, plain::Plain, sync::watched::WATCH_ONE};
use mapvar_os::{Error, Result};
use serde::de::DeserializeOwned;
use std::time::{Duration, Instant};

impl Map {
    /// Waits until `condition` holds; returns false if it does not within `timeout`, where `None`
    /// is no limit.
    ///
    /// `condition` is asked at once, and after each change of one of the variables `names`. These
    /// need not exist yet.
    ///
    /// ```
    /// # let name = format!("doc-wait-until.{}", std::process::id());
    /// # let map = mapvar::Map::options().name(&name).create()?;
    /// use mapvar::Error;
    /// use std::time::Duration;
    ///
    /// # map.set("door", "closed")?;
    /// # map.set("speed", 0)?;
    /// let starts = map.wait_until(["door", "speed"], Duration::from_secs(5), |map| {
    ///     let closed = map.find::<String>("door")?.is_some_and(|door| door == "closed");
    ///     Ok::<_, Error>(closed && map.get_or("speed", 0)? == 0)
    /// })?;
    /// assert!(starts);
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`watch_any`](Self::watch_any) and of `condition`, and those of [`Watch::recv`] but
    /// for a variable whose value cannot be read: `condition` alone decides what it needs.
    pub fn wait_until<E: From<Error>>(
        &self,
        names: impl IntoIterator<Item = impl AsRef<str>>,
        timeout: impl Into<Option<Duration>>,
        mut condition: impl FnMut(&Self) -> Result<bool, E>,
    ) -> Result<bool, E> {
        let mut rounds = Rounds::new(timeout.into());
        // The watch begins before the first look, so a change after it is not missed.
        let mut watch = self.watch_any(names)?;
        loop {
            if condition(self)? {
                return Ok(true);
            }
            match rounds.next(&mut watch) {
                Ok(None) => return Ok(false),
                // The watch goes on. `condition` reports what it cannot read of what it needs.
                Err(error) if error.operation() != WATCH_ONE => return Err(error.into()),
                Ok(Some(_)) | Err(_) => {}
            }
        }
    }
}

impl<T> Var<T> {
    /// Watches the variable, as [`Map::watch`].
    ///
    /// # Errors
    /// Those of [`Map::watch`].
    pub fn watch(&self) -> Result<Watch> {
        self.map().watch(self.name())
    }
}

impl<T: DeserializeOwned> Var<T> {
    /// Waits until the variable exists and `condition` holds for its value; returns that value, or
    /// `None` if there is none within `timeout`, where `None` is no limit.
    ///
    /// ```
    /// # let map = mapvar::Map::options().name(&format!("doc-until.{}", std::process::id())).create()?;
    /// use std::time::Duration;
    ///
    /// let door = map.var::<String>("door")?;
    /// # let map = map.clone();
    /// let opener = std::thread::spawn(move || map.set("door", "open"));
    /// let found = door.wait_until(Duration::from_secs(5), |door| door == "open")?;
    /// assert_eq!(found.as_deref(), Some("open"));
    /// # opener.join().unwrap()?;
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`watch`](Self::watch), [`Watch::recv`] and [`get`](Self::get), without
    /// `NotFound`.
    pub fn wait_until(
        &self,
        timeout: impl Into<Option<Duration>>,
        condition: impl FnMut(&T) -> bool,
    ) -> Result<Option<T>> {
        let watch = self.watch()?;
        wait_until(timeout.into(), watch, self.find()?, Change::find, condition)
    }
}

impl<T: Plain> PlainVar<T> {
    /// Watches the variable, as [`Map::watch`]; [`Change::plain`](crate::Change::plain) returns the
    /// struct.
    ///
    /// # Errors
    /// Those of [`Map::watch`].
    pub fn watch(&self) -> Result<Watch> {
        self.map().watch(self.name())
    }

    /// Waits until the variable exists and `condition` holds for its value; as [`Var::wait_until`].
    ///
    /// # Errors
    /// Those of [`watch`](Self::watch), [`Watch::recv`] and [`get`](Self::get), without
    /// `NotFound`.
    pub fn wait_until(
        &self,
        timeout: impl Into<Option<Duration>>,
        condition: impl FnMut(&T) -> bool,
    ) -> Result<Option<T>> {
        let watch = self.watch()?;
        wait_until(timeout.into(), watch, self.find()?, Change::plain, condition)
    }
}

/// Waits until `condition` holds for `found`, which was read after the watch began, or for the value
/// that `value` reads from a later change.
fn wait_until<T>(
    timeout: Option<Duration>,
    mut watch: Watch,
    mut found: Option<T>,
    value: impl Fn(&Change) -> Result<Option<T>>,
    mut condition: impl FnMut(&T) -> bool,
) -> Result<Option<T>> {
    let mut rounds = Rounds::new(timeout);
    loop {
        if let Some(value) = found.filter(|value| condition(value)) {
            return Ok(Some(value));
        }
        let Some(change) = rounds.next(&mut watch)? else { return Ok(None) };
        found = value(&change)?;
    }
}

/// The rounds of a wait. After the deadline there is one more at most: a writer that writes without a
/// pause always has another change, and the wait would not end.
struct Rounds {
    deadline: Option<Instant>,
    last: bool,
}

impl Rounds {
    /// A deadline that the clock cannot represent is never reached: then there is none.
    fn new(timeout: Option<Duration>) -> Self {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Self { deadline, last: false }
    }

    /// Returns the next change; `None` if the wait ends.
    fn next(&mut self, watch: &mut Watch) -> Result<Option<Change>> {
        if self.last {
            return Ok(None);
        }
        self.last = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        watch.recv_until(self.deadline)
    }
}
