//! The agent's program. All of it is in the library.

use sitepulse_daemon::exit::Exit;

fn main() -> Exit {
    sitepulse_agent::cli::main()
}
