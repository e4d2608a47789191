//! `sitepulse-collector`: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    sitepulse_collector::cli::main()
}
