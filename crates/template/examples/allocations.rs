//! Counts the allocations of rendering the bodies that the example `bodies` times: a name, a number.
//!
//! Usage: `allocations [NAME…]`, all bodies if none is named.

#[path = "bodies/data.rs"]
mod data;

use std::alloc::System;

use data::bodies;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use waypost_template::{Context, Error, Template};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> Result<(), Error> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    for body in bodies(&wanted) {
        let names = (body.keys)();
        let template = Template::parse(body.name, body.template.as_bytes())?;
        let context = Context::new(&names);
        template.render(&context)?;
        let region = Region::new(ALLOCATOR);
        template.render(&context)?;
        let counted = region.change();
        // Growing a list is an allocation too, as it is in Go.
        println!("{} {}", body.name, counted.allocations + counted.reallocations);
    }
    Ok(())
}
