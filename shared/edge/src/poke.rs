//! Pokes the publisher beside the answer, so that no client waits for SQS: an internal extension of the function.
//!
//! Lambda freezes an environment once the runtime and every extension have asked for what comes next. The runtime asks right
//! after the answer; this extension asks when the poke is sent. However much an invocation wrote, it pokes once; a poke that
//! is lost is made good by the publisher's schedule.

use std::{sync::Arc, time::Duration};

use aws_sdk_sqs::{Client, config::timeout::TimeoutConfig};
use lambda_extension::{Extension, LambdaEvent, NextEvent, service_fn};
use oms_core::{config::Source, outbox::Outbox};
use tokio::sync::{Mutex, OnceCell, mpsc, watch};

/// Longer than this nobody is kept waiting for a poke: the environment is paid for meanwhile.
const LIMIT: Duration = Duration::from_secs(2);

/// `POKE_QUEUE_URL`: the queue that invokes the publisher; without it nobody is poked.
pub(crate) fn queue(source: &Source) -> Option<String> {
    source.text("POKE_QUEUE_URL")
}

/// Tells the extension that an answer is made.
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
pub(crate) async fn register(queue: Option<String>, outbox: &Outbox) -> Result<Answered, lambda_extension::Error> {
    let Some(queue) = queue else { return Ok(Answered(None)) };
    let (answered, answers) = mpsc::unbounded_channel();
    let poke = Arc::new(Poke { queue, client: OnceCell::new(), state: Mutex::new((answers, outbox.written())) });
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
        match tokio::time::timeout(LIMIT, self.send()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error, "the publisher was not poked; its schedule finds what is written"),
            Err(_) => tracing::warn!("SQS took too long for a poke; the publisher's schedule finds what is written"),
        }
    }

    async fn send(&self) -> Result<(), String> {
        let client = self.client.get_or_init(connect).await;
        let sent = client.send_message().queue_url(&self.queue).message_body("{}").send().await;
        sent.map(drop).map_err(|error| aws_sdk_sqs::error::DisplayErrorContext(error).to_string())
    }
}

/// Only a function that writes needs it, and not before its first answer.
async fn connect() -> Client {
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .timeout_config(TimeoutConfig::builder().operation_timeout(LIMIT).build())
        .load()
        .await;
    Client::new(&config)
}
