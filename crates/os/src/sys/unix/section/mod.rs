//! How sections of each kind are found, created and grown.
//!
//! | module | subject |
//! | --- | --- |
//! | `aside` | files built aside and published whole |
//! | `shm` | the directory of named sections, and which objects in it are trusted |
//! | `life` | how a name lives as long as its handles |
//! | `handle` | the handle of a section of any kind |
//! | `anonymous` | sections of memory alone |
//! | `file` | sections over files |
//! | `names` | sections by name, and how a name dies with its last handle |
//! | `native` | objects of other programs, by their own names |
//! | `obtain` | which of the four above finds or creates a section |
//! | `grow` | growing sections |

pub(crate) mod aside;
pub(crate) mod shm;
pub(crate) mod life;
pub(crate) mod handle;
pub(crate) mod anonymous;
pub(crate) mod file;
pub(crate) mod names;
#[cfg_attr(not(target_os = "linux"), path = "native_shm.rs")]
pub(crate) mod native;
pub(crate) mod obtain;
pub(crate) mod grow;
