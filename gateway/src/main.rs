//! The `portcullis` binary: arguments in, exit code out.

use std::process::ExitCode;

// Every call makes many short-lived buffers, freed on other threads than they
// were made on, which this allocator is built for. It takes the place of the
// C library's, for what is linked in too; through Rust's own interface for
// allocators each allocation would take the way of over-aligned ones.
use mimalloc as _;

fn main() -> ExitCode {
    portcullis::cli::run().unwrap_or_else(|error| {
        // Nobody may be there to read it.
        let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("portcullis: {error:#}\n"));
        ExitCode::FAILURE
    })
}
