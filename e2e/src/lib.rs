//! What the end-to-end tests share: the built binary, the trees it works on, and what it left behind.
//!
//! The binary is the one that the variable `WAYPOST_BIN` names (`cargo xtask test` sets it), else the
//! workspace's release build, else its debug build. A test begins with [`require!`], which skips it with a
//! printed line when the binary or a server is missing; under `cargo xtask test` that is a failure.
//!
//! A [`Tree`] is a configuration directory with the files it is about and the agent's state; a
//! [`Waypost`] is one that keeps running, with its log; [`once`] runs one to its end. [`Confd`] is a command line of
//! either generation of confd's.

mod binary;
mod confd;
mod load;
mod namespace;
mod running;
pub mod site;
mod strace;
mod tree;

use std::time::Duration;

pub use binary::{Output, available, command, finish, once, run_to_end, unavailable};
pub use confd::{Confd, Generation};
pub use load::Load;
pub use namespace::Namespace;
pub use running::Waypost;
pub use strace::{Call, Strace};
pub use tree::{Resource, Tree};

/// How long a test waits for something that is bound to happen: far longer than it takes.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Ends the calling test early, with a printed line, when waypost or one of the named servers is missing.
///
/// Under `cargo xtask test` that is a panic instead: see [`available`].
#[macro_export]
macro_rules! require {
    ($($server:expr),* $(,)?) => {
        if !$crate::available(&[$($server),*]) {
            return;
        }
    };
}
