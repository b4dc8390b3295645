//! The relay against moto: what gets through, what comes back, what becomes a dead letter, and how far the marks go.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "Clippy takes what tests call for no part of them")]

mod failing;
mod fifo;
mod passing;
mod poison;
mod proxy;
mod stage;
