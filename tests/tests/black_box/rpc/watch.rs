//! Watching over gRPC: where streams start, what they show, how they end, and what they cost.

mod changes;
mod ends;
mod filters;
mod late;
mod many;
mod slow;
mod tokens;
mod told;
mod wires;
