//! How long an invocation of a Lambda function may take.

use std::time::{Duration, SystemTime};

/// Emulators name a deadline in 1970, and stop nobody.
const WITHOUT_DEADLINE: Duration = Duration::from_secs(600);

/// What is left until a deadline.
#[must_use]
pub fn left(deadline: SystemTime) -> Duration {
    deadline.duration_since(SystemTime::now()).unwrap_or(WITHOUT_DEADLINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_in_the_past_is_none() {
        let soon = left(SystemTime::now() + Duration::from_secs(60));
        assert!(soon > Duration::from_secs(50) && soon <= Duration::from_secs(60), "{soon:?}");
        assert_eq!(left(SystemTime::UNIX_EPOCH + Duration::from_secs(600)), WITHOUT_DEADLINE);
    }
}
