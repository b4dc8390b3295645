//! Logins by IAM: what the database and the cache take as a password is a request to log in, signed with the credentials of
//! the Lambda function.
//!
//! Signing is arithmetic: nothing is asked for, and nobody waits. The credentials in the environment of a function are good
//! for as long as that lives.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4::SigningParams,
};
use oms_core::{
    config::{Secret, Source},
    login::{LoginTokens, TokenError},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// How long a token may be used for, by what RDS and ElastiCache take at most.
const LIFETIME: Duration = Duration::from_secs(900);

/// What is escaped in a query: all but RFC 3986's unreserved characters, or the signature is of another text.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Lets these settings ask for logins by IAM, if they have the credentials and the region of a function.
#[must_use]
pub fn offer(source: Source) -> Source {
    let setting = |key| source.text(key);
    let (Some(id), Some(secret), Some(region)) =
        (setting("AWS_ACCESS_KEY_ID"), setting("AWS_SECRET_ACCESS_KEY"), setting("AWS_REGION"))
    else {
        return source;
    };
    let credentials = Credentials::new(id, secret, setting("AWS_SESSION_TOKEN"), None, "environment");
    source.with_login_tokens(Arc::new(Signer { credentials, region }))
}

#[derive(Debug)]
struct Signer {
    credentials: Credentials,
    region: String,
}

impl LoginTokens for Signer {
    fn for_database(&self, host: &str, port: u16, user: &str) -> Result<Secret, TokenError> {
        self.database(host, port, user, SystemTime::now())
    }

    fn for_cache(&self, cache: &str, user: &str) -> Result<Secret, TokenError> {
        self.cache(cache, user, SystemTime::now())
    }
}

impl Signer {
    fn database(&self, host: &str, port: u16, user: &str, now: SystemTime) -> Result<Secret, TokenError> {
        self.sign("rds-db", &format!("{host}:{port}/?Action=connect&DBUser={}", escaped(user)), now)
    }

    fn cache(&self, cache: &str, user: &str, now: SystemTime) -> Result<Secret, TokenError> {
        let request = format!("{cache}/?Action=connect&User={}&ResourceType=ServerlessCache", escaped(user));
        self.sign("elasticache", &request, now)
    }

    /// A `GET` of this address without a scheme, with the signature as more parameters.
    fn sign(&self, service: &str, address: &str, now: SystemTime) -> Result<Secret, TokenError> {
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(LIFETIME);
        let identity = self.credentials.clone().into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(service)
            .time(now)
            .settings(settings)
            .build()?;
        // The signer wants a scheme, which is not in what it signs.
        let url = format!("https://{address}");
        let request = SignableRequest::new("GET", &url, std::iter::empty(), SignableBody::empty())?;
        let (signed, _) = sign(request, &params.into())?.into_parts();
        let (_, parameters) = signed.into_parts();
        let parameters = parameters.iter().map(|(name, value)| format!("&{name}={}", escaped(value)));
        Ok(Secret::new(address.to_owned() + &parameters.collect::<String>()))
    }
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use oms_core::config::{PostgresConfig, RedisConfig};

    use super::*;

    const DATABASE: &str = "oms.cluster-abc.eu-west-1.rds.amazonaws.com";

    /// 2026-01-02T03:04:05Z
    const NOW: Duration = Duration::from_secs(1_767_323_045);

    fn signer(session: Option<&str>) -> Signer {
        let key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let credentials = Credentials::new("AKIDEXAMPLE", key, session.map(str::to_owned), None, "test");
        Signer { credentials, region: "eu-west-1".into() }
    }

    /// The parameters in one order: they are sorted before they are signed, so a token may have any.
    fn sorted(token: &str) -> Vec<&str> {
        let (address, query) = token.split_once("/?").unwrap();
        let mut parameters: Vec<_> = query.split('&').collect();
        parameters.sort_unstable();
        parameters.insert(0, address);
        parameters
    }

    // The tokens to be are those of botocore 1.43.11 with `botocore.auth.get_current_datetime` fixed: for the database
    // `generate_db_auth_token`, for the cache `RequestSigner.generate_presigned_url` as ElastiCache's documentation shows it.
    #[test]
    fn a_token_of_the_database_is_what_botocore_makes() {
        let of_function = signer(Some("session/+=token")).database(DATABASE, 5432, "oms_app", UNIX_EPOCH + NOW);
        assert_eq!(
            sorted(of_function.unwrap().expose()),
            sorted(
                "oms.cluster-abc.eu-west-1.rds.amazonaws.com:5432/?Action=connect&DBUser=oms_app\
                 &X-Amz-Algorithm=AWS4-HMAC-SHA256\
                 &X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Feu-west-1%2Frds-db%2Faws4_request\
                 &X-Amz-Date=20260102T030405Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
                 &X-Amz-Security-Token=session%2F%2B%3Dtoken\
                 &X-Amz-Signature=fc8672e0f76f5ccdb1d061b467f569effabf75b1e7477553b6c2c0f4b06d80ad"
            )
        );
        let of_an_odd_user = signer(None).database(DATABASE, 5432, "a b+c@d", UNIX_EPOCH + NOW);
        assert_eq!(
            sorted(of_an_odd_user.unwrap().expose()),
            sorted(
                "oms.cluster-abc.eu-west-1.rds.amazonaws.com:5432/?Action=connect&DBUser=a%20b%2Bc%40d\
                 &X-Amz-Algorithm=AWS4-HMAC-SHA256\
                 &X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Feu-west-1%2Frds-db%2Faws4_request\
                 &X-Amz-Date=20260102T030405Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
                 &X-Amz-Signature=3e72aac5a9f74c913562592558d142d96c272531884b6587bde8988f8e0538f6"
            )
        );
    }

    #[test]
    fn a_token_of_the_cache_is_what_botocore_makes() {
        let token = signer(Some("session/+=token")).cache("oms-cache", "oms-app", UNIX_EPOCH + NOW);
        assert_eq!(
            sorted(token.unwrap().expose()),
            sorted(
                "oms-cache/?Action=connect&User=oms-app&ResourceType=ServerlessCache\
                 &X-Amz-Algorithm=AWS4-HMAC-SHA256\
                 &X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Feu-west-1%2Felasticache%2Faws4_request\
                 &X-Amz-Date=20260102T030405Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
                 &X-Amz-Security-Token=session%2F%2B%3Dtoken\
                 &X-Amz-Signature=95c6858ccf2fdfdd9c1ec303720d74828d0a4bc0b3268ce806da4e5b354a8774"
            )
        );
    }

    #[test]
    fn settings_ask_for_it_with_credentials_alone() {
        let credentials =
            [("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "hidden"), ("AWS_REGION", "eu-west-1")];
        let asking = [
            ("DB_IAM_AUTH", "true"),
            ("REDIS_HOST", "cache"),
            ("REDIS_TLS", "true"),
            ("REDIS_USER", "oms-app"),
            ("REDIS_IAM_CACHE", "oms-cache"),
        ];
        let read = |source: Source| {
            let mut source = offer(source);
            let (postgres, redis) = (PostgresConfig::read(&mut source), RedisConfig::read(&mut source));
            source.finish().map(|()| (postgres, redis))
        };
        let (postgres, redis) = read(Source::from_pairs(asking.into_iter().chain(credentials))).unwrap();
        let token = postgres.login_tokens.as_ref().unwrap().for_database("db", 5432, "oms_app").unwrap();
        assert!(token.expose().starts_with("db:5432/?Action=connect&DBUser=oms_app&"), "{}", token.expose());
        assert!(!format!("{postgres:?}{redis:?}").contains("hidden"));
        let login = redis.login.unwrap();
        let token = login.tokens.for_cache(&login.cache, &login.user).unwrap();
        assert!(token.expose().starts_with("oms-cache/?Action=connect&User=oms-app&"), "{}", token.expose());

        let problems = read(Source::from_pairs(asking)).unwrap_err().0;
        assert_eq!(problems.len(), 2, "{problems:?}");
    }
}
