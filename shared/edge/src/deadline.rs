//! How long an invocation of a Lambda function may take.

use std::time::{Duration, SystemTime};

/// Emulators name a deadline in 1970, and stop nobody.
const WITHOUT_DEADLINE: Duration = Duration::from_secs(600);
const LONG_AGO: Duration = Duration::from_secs(3_600);

/// What is left until a deadline; nothing when it has just passed.
#[must_use]
pub fn left(deadline: SystemTime) -> Duration {
    match SystemTime::now().duration_since(deadline) {
        Err(ahead) => ahead.duration(),
        Ok(ago) if ago < LONG_AGO => Duration::ZERO,
        Ok(_) => WITHOUT_DEADLINE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_long_ago_is_none() {
        let soon = left(SystemTime::now() + Duration::from_secs(60));
        assert!(soon > Duration::from_secs(50) && soon <= Duration::from_secs(60), "{soon:?}");
        assert_eq!(left(SystemTime::now() - Duration::from_secs(5)), Duration::ZERO);
        assert_eq!(left(SystemTime::UNIX_EPOCH + Duration::from_secs(600)), WITHOUT_DEADLINE);
    }
}
