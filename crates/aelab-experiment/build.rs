//! Puts the commit into the program, where there is one: `environment.json` of a trial names it.

#![allow(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=../../.git/HEAD");
    println!("cargo:rerun-if-changed=../../.git/refs/heads");
    let output = Command::new("git").args(["describe", "--always", "--abbrev=12"]).output();
    if let Ok(output) = output
        && output.status.success()
    {
        println!("cargo:rustc-env=AELAB_GIT_COMMIT={}", String::from_utf8_lossy(&output.stdout).trim());
    }
}
