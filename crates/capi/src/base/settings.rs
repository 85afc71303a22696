//! The settings of an option object, which threads read and change without a lock.

use arc_swap::ArcSwap;
use std::sync::Arc;

/// Settings of type `T`. A child of `fork` can use them whatever the parent's threads were doing: no
/// lock stays taken, as one of a `Mutex` would.
pub(crate) struct Settings<T>(ArcSwap<T>);

impl<T: Clone> Settings<T> {
    pub(crate) fn new(settings: T) -> Self {
        Self(ArcSwap::from_pointee(settings))
    }

    /// Returns the settings of this moment; opening may wait, and later changes do not affect it.
    pub(crate) fn now(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Replaces the settings. If another thread does so meanwhile, `change` is called again with
    /// those, so no setting is lost.
    pub(crate) fn change(&self, mut change: impl FnMut(T) -> T) {
        self.0.rcu(|settings| change(T::clone(settings)));
    }
}
