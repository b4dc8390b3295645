//! The service as its clients see it: over HTTP, with real PostgreSQL and Redis. Run it with `cargo xtask test`.

#[cfg(test)]
mod authorization;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod coherence;
#[cfg(test)]
mod events;
#[cfg(test)]
mod graphql;
#[cfg(test)]
mod infrastructure;
#[cfg(test)]
mod lambda;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod paging;
#[cfg(test)]
mod races;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod rest;
#[cfg(test)]
mod round_trips;
#[cfg(test)]
mod rpc;
#[cfg(test)]
mod schema_org;
#[cfg(test)]
mod server;
#[cfg(test)]
mod traces;
