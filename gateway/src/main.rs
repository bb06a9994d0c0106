//! The `portcullis` binary: arguments in, exit code out.

use std::process::ExitCode;

/// Every call makes many short-lived buffers, freed on other threads than they
/// were made on, which this allocator is built for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    portcullis::cli::run().unwrap_or_else(|error| {
        // Nobody may be there to read it.
        let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("portcullis: {error:#}\n"));
        ExitCode::FAILURE
    })
}
