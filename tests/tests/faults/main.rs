//! Minutes of kills and outages, and measurements, over the finished programs. Run it with `cargo xtask test --faults`.

#[cfg(test)]
mod latency;
#[cfg(test)]
mod moto;
#[cfg(test)]
mod nothing_lost;
#[cfg(test)]
mod ontology;
#[cfg(test)]
mod publishers;
#[cfg(test)]
mod random;
#[cfg(test)]
mod seen;
#[cfg(test)]
mod watch;
