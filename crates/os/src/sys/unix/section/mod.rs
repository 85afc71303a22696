//! How a section is found or made, by what it is of, and made longer.
//!
//! | module | subject |
//! | --- | --- |
//! | `aside` | files built aside and published whole |
//! | `shm` | the directory of named sections, and what in it is trusted |
//! | `life` | how a name lives as long as its handles |
//! | `handle` | the handle of a section, whatever it is of |
//! | `anonymous` | sections of memory alone |
//! | `file` | sections over files |
//! | `names` | sections by name, and how a name dies with its last handle |
//! | `native` | objects of other programs, by their own names |
//! | `obtain` | which of the four above finds or makes a section |
//! | `grow` | sections made longer |

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
