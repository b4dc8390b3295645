//! Pokes the publisher beside the answer, so that no client waits for SQS: an internal extension of the function.
//!
//! Lambda freezes an environment once the runtime and every extension have asked for what comes next. The runtime asks when
//! the answer is out and what was measured is written; this extension asks when the poke is sent. However much an invocation wrote, it pokes once; a poke that
//! is lost is made good by the publisher's schedule.

use std::{sync::Arc, time::Duration};

use aws_sdk_sqs::{
    Client,
    config::timeout::TimeoutConfig,
    error::{DisplayErrorContext, SdkError},
    operation::send_message::SendMessageError,
};
use lambda_extension::{Extension, LambdaEvent, NextEvent, service_fn};
use oms_core::{
    breaker::{Breaker, BreakerConfig},
    config::Source,
    outbox::Outbox,
};
use tokio::sync::{Mutex, OnceCell, mpsc, watch};

/// Longer than this nobody is kept waiting for a poke: the environment is paid for meanwhile.
const LIMIT: Duration = Duration::from_secs(2);

/// How long a connection to SQS may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// `POKE_QUEUE_URL`: the queue that invokes the publisher; without it nobody is poked.
pub(crate) fn queue(source: &Source) -> Option<String> {
    source.text("POKE_QUEUE_URL")
}

/// Tells the extension that an answer is out.
#[derive(Debug, Clone)]
pub(crate) struct Answered(Option<mpsc::UnboundedSender<()>>);

impl Answered {
    pub(crate) fn note(&self) {
        if let Some(answered) = &self.0 {
            // Nobody listens any more when the environment shuts down.
            let _ = answered.send(());
        }
    }
}

/// Registers the extension. It has to be done before the runtime first asks for work.
pub(crate) async fn register(
    queue: Option<String>,
    breaker: BreakerConfig,
    outbox: &Outbox,
) -> Result<Answered, lambda_extension::Error> {
    let Some(queue) = queue else { return Ok(Answered(None)) };
    let (answered, answers) = mpsc::unbounded_channel();
    let (breaker, state) = (Breaker::new("sqs", breaker), Mutex::new((answers, outbox.written())));
    let poke = Arc::new(Poke { queue, client: OnceCell::new(), breaker, state });
    let processor = service_fn(move |event: LambdaEvent| {
        let poke = poke.clone();
        async move {
            if let NextEvent::Invoke(_) = event.next {
                poke.after_answer().await;
            }
            Ok::<(), lambda_extension::Error>(())
        }
    });
    let extension = Extension::new()
        .with_extension_name("oms-poke")
        .with_events(&["INVOKE"])
        .with_events_processor(processor)
        .register()
        .await?;
    tokio::spawn(async move {
        if let Err(error) = extension.run().await {
            // Lambda would wait for an extension that is registered and does not ask for more, at each invocation until its
            // time-out. A new environment has a new one.
            tracing::error!(%error, "the extension ended, and this environment with it");
            std::process::exit(1);
        }
    });
    Ok(Answered(Some(answered)))
}

struct Poke {
    queue: String,
    client: OnceCell<Client>,
    breaker: Breaker,
    state: Mutex<(mpsc::UnboundedReceiver<()>, watch::Receiver<u64>)>,
}

impl Poke {
    async fn after_answer(&self) {
        let mut state = self.state.lock().await;
        let (answers, written) = &mut *state;
        if answers.recv().await.is_none() || !written.has_changed().unwrap_or(false) {
            return;
        }
        written.mark_unchanged();
        match self.breaker.call(self.send(), |failure| failure.is_outage).await {
            Ok(Ok(())) => {}
            Ok(Err(Failure { error, .. })) => {
                tracing::warn!(error, "the publisher was not poked; its schedule finds what is written");
            }
            Err(open) => tracing::debug!(%open, "the publisher is not poked; its schedule finds what is written"),
        }
    }

    async fn send(&self) -> Result<(), Failure> {
        let sending = async {
            let client = self.client.get_or_init(connect).await;
            client.send_message().queue_url(&self.queue).message_body("{}").send().await
        };
        match tokio::time::timeout(LIMIT, sending).await {
            Ok(sent) => sent.map(drop).map_err(Failure::from),
            Err(_) => Err(Failure { error: "SQS took too long".to_owned(), is_outage: true }),
        }
    }
}

/// Why a poke was not sent.
struct Failure {
    error: String,
    /// Whether nobody is there, or nobody who could serve.
    is_outage: bool,
}

impl From<SdkError<SendMessageError>> for Failure {
    fn from(error: SdkError<SendMessageError>) -> Self {
        let is_outage = match &error {
            SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => true,
            error => error.raw_response().is_some_and(|response| response.status().is_server_error()),
        };
        Self { error: DisplayErrorContext(error).to_string(), is_outage }
    }
}

/// Only a function that writes needs it, and not before its first answer.
async fn connect() -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(LIMIT)
        .operation_timeout(LIMIT)
        .build();
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest()).timeout_config(timeouts).load().await;
    Client::new(&config)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};

    use super::*;

    #[tokio::test]
    async fn a_queue_that_is_away_is_left_alone_and_no_write_waits_for_it() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (endpoint, calls) = (format!("http://{}", listener.local_addr().unwrap()), Arc::new(AtomicUsize::new(0)));
        let counted = calls.clone();
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(&endpoint);
        let ((answered, answers), (written, watched)) = (mpsc::unbounded_channel(), watch::channel(0));
        let breaker = BreakerConfig { failures: 2, open: Duration::from_secs(3_600) };
        let poke = Poke {
            queue: format!("{endpoint}/1/pokes"),
            client: OnceCell::new_with(Some(Client::from_conf(config.build()))),
            breaker: Breaker::new("sqs", breaker),
            state: Mutex::new((answers, watched)),
        };
        for _ in 0..10 {
            written.send_modify(|count| *count += 1);
            answered.send(()).unwrap();
            poke.after_answer().await;
        }
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }
}
