//! Reads of variables by name.

use crate::{
    error::EngineError, handle::Handle, index::Query, mem::Mem, record::read::Seen, store::Store,
    value::SlotView,
};

/// How often an operation is retried when a record has become another variable's.
pub const AGAIN: usize = 64;

impl<M: Mem> Store<M> {
    /// Reads the variable of a name; returns its handle, the result and the version of the value.
    /// `None` if there is no such variable. `take` is as for [`read`](Self::read).
    #[inline]
    pub fn read_named<R>(
        &self,
        query: Query<'_>,
        mut take: impl for<'a> FnMut(SlotView<'a, M>) -> R,
    ) -> Result<Option<(Handle, R, u64)>, EngineError> {
        for _ in 0..AGAIN {
            let Some(handle) = self.find(query)? else { return Ok(None) };
            match self.read(handle, &mut take)? {
                Seen::Value(taken, version) => return Ok(Some((handle, taken, version))),
                Seen::Absent => return Ok(None),
                // The record became another variable's between the lookup and the read.
                Seen::Stale => {}
            }
        }
        Err(EngineError::Contended)
    }
}
