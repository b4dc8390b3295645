//! Failed logins: each is audited until an address has too many of them, which are then refused without an audit row
//! (specification 9, corrected), so that nobody can fill the audit log from outside.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use moka::sync::Cache;
use oms_core::{Registry, audit::FailedLogin, id::TenantId};

use crate::{
    problem::{ApiError, Cause},
    request::RequestInfo,
};

const WINDOW: Duration = Duration::from_secs(60);
/// The most addresses that one process counts at a time.
const MAX_ADDRESSES: u64 = 10_000;

/// Counts failed logins per client address and minute: in Redis for all processes together, else in this one.
#[derive(Debug)]
pub(crate) struct FailedLogins {
    per_minute: u64,
    local: Cache<String, Arc<AtomicU64>>,
}

impl FailedLogins {
    pub(crate) fn new(per_minute: u64) -> Self {
        Self { per_minute, local: Cache::builder().max_capacity(MAX_ADDRESSES).time_to_live(WINDOW).build() }
    }

    /// Counts one and says what the client is answered; within the limit it leaves an audit row.
    pub(crate) async fn refuse(
        &self,
        registry: &Registry,
        tenant: &TenantId,
        request: &RequestInfo,
        reason: &'static str,
        invalid_token: bool,
    ) -> ApiError {
        let address = network(request.ip());
        let counted = registry.cache.count_failure(&address, WINDOW).await;
        if counted.unwrap_or_else(|| self.count_here(address)) > self.per_minute {
            return Cause::RateLimited { retry_after: WINDOW }.into();
        }
        let row = FailedLogin {
            tenant: tenant.clone(),
            reason,
            ip: request.ip(),
            user_agent: request.user_agent().map(str::to_owned),
            correlation_id: request.correlation_id().to_owned(),
            traceparent: Some(request.trace().to_string()),
        };
        // The client is refused all the same: a 500 would tell it that it may try again.
        if let Err(error) = registry.audit.record_failed_login(row).await {
            tracing::error!(%error, reason, correlation_id = request.correlation_id(), "a failed login is not in the audit log");
        }
        Cause::Unauthenticated { invalid_token }.into()
    }

    fn count_here(&self, address: String) -> u64 {
        // The window starts with the first failure: a later one does not prolong it.
        self.local.get_with(address, Arc::default).fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// What is counted as one client: an IPv4 address, or the /64 network that an IPv6 client may choose addresses from.
fn network(ip: Option<IpAddr>) -> String {
    match ip {
        None => "failed-login:unknown".to_owned(),
        Some(IpAddr::V4(ip)) => format!("failed-login:{ip}"),
        Some(IpAddr::V6(ip)) => {
            format!("failed-login:{}/64", Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_counted_by_itself() {
        let logins = FailedLogins::new(10);
        assert_eq!(logins.count_here("a".into()), 1);
        assert_eq!(logins.count_here("a".into()), 2);
        assert_eq!(logins.count_here("b".into()), 1);
    }

    #[test]
    fn an_ipv6_client_can_not_escape_by_changing_its_address_within_its_network() {
        let of = |text: &str| network(Some(text.parse().unwrap()));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
