//! Tokens in place of the password that a pool was made with.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use sqlx::{PgPool, postgres::PgConnectOptions};

use crate::login::LoginTokens;

/// After so long a new one is signed. A token is good for 15 minutes, and clocks differ.
const AGE: Duration = Duration::from_secs(600);

/// What new sessions of a pool log in with.
#[derive(Debug)]
pub(super) struct Login {
    tokens: Arc<dyn LoginTokens>,
    /// When the token that the pool has was signed, by the clock that it ends by; others may stand still in a frozen
    /// environment.
    signed: Mutex<Option<SystemTime>>,
}

impl Login {
    pub(super) fn new(tokens: Arc<dyn LoginTokens>) -> Self {
        Self { tokens, signed: Mutex::default() }
    }

    /// Sees to it that a session which the pool begins now can log in.
    pub(super) fn renew(&self, pool: &PgPool) -> sqlx::Result<()> {
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back would keep it for too long.
        let is_fresh = |signed: SystemTime| signed.elapsed().is_ok_and(|age| age < AGE);
        if !signed.is_some_and(is_fresh) {
            let now = SystemTime::now();
            let options = pool.connect_options().as_ref().clone();
            pool.set_connect_options(with_token(options, self.tokens.as_ref())?);
            *signed = Some(now);
        }
        Ok(())
    }
}

/// The options with a token of now.
pub(super) fn with_token(options: PgConnectOptions, tokens: &dyn LoginTokens) -> sqlx::Result<PgConnectOptions> {
    let token = tokens.for_database(options.get_host(), options.get_port(), options.get_username());
    Ok(options.password(token.map_err(sqlx::Error::Configuration)?.expose()))
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, postgres::PgPoolOptions};

    use super::*;
    use crate::{
        Registry,
        config::{EventConfig, PostgresConfig, RedisConfig, Source},
        fixture::Tokens,
    };

    /// A role that nobody else has. Its password is a token, as that of RDS is to the wire.
    struct Role {
        admin: PgPool,
        name: String,
        tokens: Arc<Tokens>,
    }

    impl Role {
        async fn create(admin: PgPool) -> Self {
            let role = Self { admin, name: format!("login_{}", uuid::Uuid::new_v4().simple()), tokens: Arc::default() };
            role.run(&format!("CREATE ROLE {} LOGIN", role.name)).await;
            role.takes(0).await;
            role
        }

        /// From now on it takes this token alone.
        async fn takes(&self, number: u32) {
            self.tokens.tell(number);
            let options = self.admin.connect_options();
            let token = self.tokens.for_database(options.get_host(), options.get_port(), &self.name).unwrap();
            self.run(&format!("ALTER ROLE {} PASSWORD '{}'", self.name, token.expose())).await;
        }

        async fn run(&self, sql: &str) {
            sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.admin).await.unwrap();
        }

        async fn drop(self) {
            self.run(&format!("DROP ROLE {}", self.name)).await;
        }
    }

    async fn whoami(db: impl sqlx::PgExecutor<'_>) -> sqlx::Result<String> {
        sqlx::query_scalar("SELECT session_user::text").fetch_one(db).await
    }

    #[sqlx::test(migrations = false)]
    async fn a_token_is_used_for_ten_minutes_and_sessions_outlive_it(admin: PgPool) {
        let role = Role::create(admin).await;
        let options = role.admin.connect_options().as_ref().clone().username(&role.name).password("");
        let pool = PgPoolOptions::new().connect_lazy_with(options);
        let login = Login::new(role.tokens.clone());
        let session = async || {
            login.renew(&pool)?;
            pool.acquire().await
        };
        let mut first = session().await.unwrap();
        assert_eq!(whoami(&mut *first).await.unwrap(), role.name);

        role.takes(1).await;
        *login.signed.lock().unwrap() = Some(SystemTime::now() - AGE + Duration::from_secs(60));
        let refused = session().await.unwrap_err();
        assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("28P01"), "{refused}");

        *login.signed.lock().unwrap() = Some(SystemTime::now() - AGE);
        let mut second = session().await.unwrap();
        assert_eq!(whoami(&mut *second).await.unwrap(), role.name);
        assert_eq!(whoami(&mut *first).await.unwrap(), role.name);

        role.takes(2).await;
        *login.signed.lock().unwrap() = Some(SystemTime::now() + Duration::from_secs(3_600));
        session().await.unwrap().close().await.unwrap();
        drop((first, second));
        pool.close().await;
        role.drop().await;
    }

    #[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
    async fn requests_and_publishers_log_in_with_tokens(admin: PgPool) {
        let role = Role::create(admin).await;
        let options = role.admin.connect_options();
        let mut source = Source::from_pairs([
            ("DB_HOST", options.get_host()),
            ("DB_PORT", &options.get_port().to_string()),
            ("DB_NAME", options.get_database().unwrap()),
            ("DB_USER", &role.name),
            ("DB_SSL_MODE", "prefer"),
            ("DB_IAM_AUTH", "true"),
        ])
        .with_login_tokens(role.tokens.clone());
        let (postgres, events) = (PostgresConfig::read(&mut source), EventConfig::read(&mut source));
        source.finish().unwrap();
        let oms = Registry::connect_lazy(&postgres, &RedisConfig::none(), &events).unwrap();
        oms.check_database().await.unwrap();

        // Who opens a session of its own signs for it alone.
        role.takes(1).await;
        oms.events.claimer().await.unwrap().close().await;
        oms.check_database().await.unwrap();
        oms.close().await;
        role.drop().await;
    }
}
