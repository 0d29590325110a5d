//! The site of `examples/wordpress`, with real servers: web servers and databases come, go and die while
//! visitors read, and what one visitor is shown is not shown to another.
//!
//! Starting it takes seconds, so that all tests of this target share one, and each brings back what the one
//! before has left.

#![allow(clippy::unwrap_used, reason = "a test's panic is its report, in its helpers too")]

mod database;
mod pages;
mod servers;
mod visitors;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use waypost_e2e::site::Site;

/// The one site, as long as a test has it or waits for it; then all of it ends.
static SITE: Mutex<Weak<Mutex<Site>>> = Mutex::new(Weak::new());

/// How long a page is fresh here, in place of a minute.
const TTL: &str = "1s";

/// Runs a test on the site when no other does.
#[track_caller]
fn on_the_site(test: impl FnOnce(&mut Site)) {
    waypost_e2e::require!("etcd", "mariadbd", "nginx", "php", "php-fpm8.2", "varnishd");
    let shared = the_site();
    let mut site = shared.lock().unwrap_or_else(PoisonError::into_inner);
    site.restore();
    test(&mut site);
}

fn the_site() -> Arc<Mutex<Site>> {
    let mut known: MutexGuard<'_, Weak<Mutex<Site>>> = SITE.lock().unwrap_or_else(PoisonError::into_inner);
    known.upgrade().unwrap_or_else(|| {
        let site = Arc::new(Mutex::new(Site::start(Some(TTL))));
        *known = Arc::downgrade(&site);
        site
    })
}
