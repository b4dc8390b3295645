//! How it can fail.

use oms_core::{config::ConfigError, postgres::MigrationError};

/// How it can fail. The text is for everybody who may see a deployment; [`Failure::cause`] is for the log.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The function was told nonsense.
    #[error("{0}")]
    Settings(String),
    /// Nobody may log in as the owner.
    #[error("the owner's password can't be read from Secrets Manager")]
    Owner(String),
    /// The database is not as this version needs it.
    #[error(transparent)]
    Database(#[from] MigrationError),
    /// The next epoch has not begun.
    #[error("the database did not begin an epoch")]
    Epoch(#[source] oms_core::error::Error),
    /// Kafka has no topics for events.
    #[error("the topics are not there: {0}")]
    Topics(#[from] oms_kafka::Error),
    /// It was not at the database when the time was over.
    #[error("it did not end in time")]
    OutOfTime,
    /// Ours to mend.
    #[error("the function has a fault")]
    Fault(String),
}

impl Failure {
    /// What the public text leaves out.
    #[must_use]
    pub fn cause(&self) -> String {
        match self {
            Self::Owner(cause) | Self::Fault(cause) => cause.clone(),
            Self::Epoch(error) => format!("{error:?}"),
            other => std::error::Error::source(other).map(ToString::to_string).unwrap_or_default(),
        }
    }

    /// What to do.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::Settings(_) => "Mend the settings and deploy again.",
            Self::Database(MigrationError::OutOfTime { .. }) | Self::OutOfTime => {
                "Find out what holds locks or takes so long, then try it again: what was done before is not repeated."
            }
            _ => "Mend it and try it again: what was done before is not repeated.",
        }
    }
}

impl From<&ConfigError> for Failure {
    fn from(error: &ConfigError) -> Self {
        Self::Settings(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_databases_own_words_are_for_the_log() {
        let refused = MigrationError::Failed {
            step: "the migration 1_create_one".to_owned(),
            source: std::io::Error::other("duplicate key (ada@example.com)").into(),
        };
        let failure = Failure::from(refused);
        assert_eq!(failure.to_string(), "the migration 1_create_one failed");
        assert!(failure.cause().contains("ada@example.com"), "{}", failure.cause());
        let failure = Failure::Owner("AccessDenied".to_owned());
        assert_eq!(failure.to_string(), "the owner's password can't be read from Secrets Manager");
        assert_eq!(failure.cause(), "AccessDenied");
    }
}
