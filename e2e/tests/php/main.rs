//! The PHP client, `clients/symfony`: its own tests on real servers, with the libraries of two Debian releases; the
//! file that the agent writes, read by PHP; the script that tells opcache of it, in php-fpm; and what Composer
//! makes of the package.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

mod agent;
mod composer;
mod hostile;
mod invalidate;
mod suite;

use std::path::{Path, PathBuf};

/// A file or directory of the PHP package.
fn package(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/symfony").join(path).canonicalize().unwrap()
}
