//! Has the linker pack the program's own relocations: a list of 1.2 MB, read once at each start, that stays in memory with the rest of the file.
//!
//! glibc reads the packed form from 2.36 on; a program that has it says so, and does not start on an older one. So it is packed only where this
//! machine's is new enough, and for this machine's kind.

use std::env::var;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_native =
        var("HOST").is_ok_and(|host| var("TARGET").is_ok_and(|target| target == host && host.ends_with("linux-gnu")));
    if is_native && glibc().is_some_and(|version| version >= (2, 36)) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

fn glibc() -> Option<(u32, u32)> {
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let (major, minor) = std::str::from_utf8(&told.stdout).ok()?.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
