//! The developer tool of OMS, run as `cargo xtask`.
//!
//! It is a library too, because the black-box tests start the services the same way as the tool does.

#![expect(clippy::print_stdout, reason = "a command line tool answers on stdout")]

pub mod baseline;
pub mod bench;
pub mod deploy;
pub mod dev;
pub mod environment;
pub mod functions;
pub mod import;
pub mod install;
pub mod interrupt;
pub mod lambda;
pub mod lint;
pub mod load;
pub mod ports;
pub mod process;
pub mod redrive;
mod registry;
pub mod services;
pub mod state;
pub mod test;
pub mod token;
pub mod wait;
pub mod watch;
pub mod workspace;
