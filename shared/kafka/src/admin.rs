//! A client that administers.

use std::{
    ffi::{CStr, CString, c_char},
    ptr,
};

use rdkafka::{
    ClientContext, admin::AdminClient, bindings::rd_kafka_oauthbearer_set_token, client::OAuthToken,
    types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
};

use crate::{Error, KafkaConfig, KafkaContext, Result, Security, client_config};

/// Connects in the background. It blocks as long as a token takes.
pub(crate) fn admin(config: &KafkaConfig) -> Result<AdminClient<KafkaContext>> {
    let context = KafkaContext::new(config);
    let admin: AdminClient<KafkaContext> = client_config(config)?.create_with_context(context.clone())?;
    if config.security == Security::MskIam {
        let token = context.generate_oauth_token(None);
        give(&admin, token.map_err(|error| context.explain(&error.to_string()))?)?;
    }
    Ok(admin)
}

/// Gives the client the one token that it ever gets, which is good for a quarter of an hour: rdkafka's administrator does
/// not look at the queue in which librdkafka asks for tokens, and without one it never connects.
#[expect(unsafe_code, reason = "rdkafka has no safe way to give a token")]
fn give(admin: &AdminClient<KafkaContext>, token: OAuthToken) -> Result<()> {
    let nul = |_| Error::Kafka("the token for MSK has a NUL".to_owned());
    let value = CString::new(token.token).map_err(nul)?;
    let principal = CString::new(token.principal_name).map_err(nul)?;
    let mut reason: [c_char; 512] = [0; 512];
    // SAFETY: the client lives as long as `admin`. The texts end with NUL and live until the call returns, which copies
    // them. There are no extensions, and of the reason no more is written than there is room.
    let code = unsafe {
        rd_kafka_oauthbearer_set_token(
            admin.inner().native_ptr(),
            value.as_ptr(),
            token.lifetime_ms,
            principal.as_ptr(),
            ptr::null_mut(),
            0,
            reason.as_mut_ptr(),
            reason.len(),
        )
    };
    if code == RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    // SAFETY: librdkafka ends what it writes with NUL, and the array was full of them.
    let reason = unsafe { CStr::from_ptr(reason.as_ptr()) };
    Err(Error::Kafka(format!("the token for MSK is refused: {}", reason.to_string_lossy())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use oms_core::config::Source;
    use tokio::{io::AsyncReadExt as _, net::TcpListener};

    use super::*;

    fn msk(brokers: &str) -> KafkaConfig {
        let pairs = [("KAFKA_BROKERS", brokers), ("KAFKA_SECURITY", "msk-iam"), ("AWS_REGION", "eu-west-1")];
        KafkaConfig::read(&mut Source::from_pairs(pairs))
    }

    #[tokio::test]
    async fn an_administrator_that_has_a_token_connects_to_msk() {
        assert!(std::env::var("AWS_ACCESS_KEY_ID").is_ok(), "run this with `cargo xtask test`");
        let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = msk(&broker.local_addr().unwrap().to_string());
        let admin = tokio::task::spawn_blocking(move || admin(&config)).await.unwrap().unwrap();
        // Without a token librdkafka waits, and nobody comes.
        let coming = tokio::time::timeout(Duration::from_secs(20), broker.accept());
        let (mut connection, _) = coming.await.unwrap().unwrap();
        let mut first = [0; 3];
        connection.read_exact(&mut first).await.unwrap();
        assert_eq!(first[..2], [0x16, 0x03], "a TLS handshake");
        drop(connection);
        tokio::task::spawn_blocking(move || drop(admin)).await.unwrap();
    }

    #[tokio::test]
    async fn a_token_that_is_over_is_refused_with_a_reason() {
        let config = msk("127.0.0.1:1");
        let refused = tokio::task::spawn_blocking(move || {
            let admin: AdminClient<KafkaContext> =
                client_config(&config).unwrap().create_with_context(KafkaContext::new(&config)).unwrap();
            give(&admin, OAuthToken { token: "old".to_owned(), principal_name: String::new(), lifetime_ms: 1 })
        });
        let refused = refused.await.unwrap().unwrap_err().to_string();
        assert!(refused.contains("the token for MSK is refused: ") && refused.contains("expire"), "{refused}");
    }
}
