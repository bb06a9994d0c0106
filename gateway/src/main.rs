//! The `portcullis` binary: arguments in, exit code out.

use std::process::ExitCode;

/// Every call makes many short-lived buffers of many sizes. This allocator keeps
/// them apart, and gives back what is free: how soon is in `.cargo/config.toml`.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    portcullis::cli::run().unwrap_or_else(|error| {
        // Nobody may be there to read it.
        let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("portcullis: {error:#}\n"));
        ExitCode::FAILURE
    })
}
