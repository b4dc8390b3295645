//! Links the functions at a fixed address, for all crates under `functions/`.
//!
//! A program that may lie anywhere has its pointers corrected when it starts: two hundred pages of a function are written to
//! before its first line runs, and a cold start waits. What else the address space has still lies at random.

fn main() {
    println!("cargo::rerun-if-changed=../build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
