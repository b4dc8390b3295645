//! Calls to AWS: how they fail, and when no more of them are started.

use std::{
    error::Error,
    fmt::Display,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use aws_sdk_sqs::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use futures::{StreamExt, stream};
use oms_core::breaker::Breaker;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout_at},
};
use uuid::Uuid;

use crate::config::CALLS_IN_FLIGHT;

/// No call is started so short before the deadline: what is running needs the time to end.
const LAST_START: Duration = Duration::from_secs(2);

/// A call that still runs so short before the deadline is given up: the answer has to get out.
const LAST_END: Duration = Duration::from_millis(500);

/// Why a call brought nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallError {
    /// Something in what was sent will never be taken.
    Refused(String),
    /// It may pass another time. It is logged already.
    Failed,
}

/// Lets calls to one service through while the service answers and there is time. One batch has one gate for each
/// service, so that an outage costs a batch one time-out and not one for every call. The breaker is the service's own, and
/// goes on from batch to batch.
#[derive(Debug)]
pub(crate) struct Gate<'a> {
    service: &'static str,
    breaker: &'a Breaker,
    deadline: Option<Instant>,
    closed: AtomicBool,
    /// Held by the call that probes: the others of the batch wait for what it finds.
    probe: Mutex<()>,
}

impl<'a> Gate<'a> {
    pub(crate) fn new(service: &'static str, breaker: &'a Breaker, deadline: Option<Instant>) -> Self {
        Self { service, breaker, deadline, closed: AtomicBool::new(false), probe: Mutex::default() }
    }

    /// Makes a call, unless the gate is closed.
    pub(crate) async fn call<T, E>(&self, call: impl Future<Output = Result<T, SdkError<E>>>) -> Result<T, CallError>
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        // Rejected, they would come back, and repeat what they have put elsewhere already.
        let mut probe = None;
        if !self.breaker.is_closed() {
            probe = Some(self.probe.lock().await);
            if self.breaker.is_closed() {
                probe = None;
            }
        }
        if self.closed.load(Ordering::Relaxed) {
            return Err(CallError::Failed);
        }
        if self.deadline.is_some_and(|deadline| deadline.saturating_duration_since(Instant::now()) < LAST_START) {
            self.close("the deadline is near");
            return Err(CallError::Failed);
        }
        let admission = self.breaker.admit().map_err(|_| CallError::Failed)?;
        let answer = match self.deadline {
            None => call.await,
            Some(deadline) => match timeout_at(deadline - LAST_END, call).await {
                Ok(answer) => answer,
                // Whether it would have been answered nobody knows.
                Err(_) => {
                    self.close("a call was cut off by the deadline");
                    return Err(CallError::Failed);
                }
            },
        };
        match &answer {
            Err(SdkError::ConstructionFailure(_)) => drop(admission),
            Err(error) if is_outage(error) => admission.failed(),
            _ => admission.succeeded(),
        }
        let answer = answer.map_err(|error| self.failure(error));
        drop(probe);
        answer
    }

    fn failure<E>(&self, error: SdkError<E>) -> CallError
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        match &error {
            // Nobody is there: the next call would wait as long for nothing.
            SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => {
                self.close(DisplayErrorContext(&error));
                CallError::Failed
            }
            SdkError::ServiceError(answer) if is_refusal(answer.err().code(), answer.raw().status().as_u16()) => {
                CallError::Refused(format!("{}: {}", self.service, DisplayErrorContext(&error)))
            }
            _ => {
                tracing::warn!(service = self.service, error = %DisplayErrorContext(&error), "a call failed");
                CallError::Failed
            }
        }
    }

    fn close(&self, reason: impl Display) {
        if !self.closed.swap(true, Ordering::Relaxed) {
            tracing::warn!(service = self.service, error = %reason, "no more calls are started for this batch");
        }
    }
}

/// Whether nobody is there, or nobody who could serve.
fn is_outage<E>(error: &SdkError<E>) -> bool {
    match error {
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => true,
        _ => error.raw_response().is_some_and(|response| response.status().is_server_error()),
    }
}

/// Whether AWS finds fault with what was sent, so that sending it again is useless. A missing right or resource is no
/// such fault: somebody will mend it.
fn is_refusal(code: Option<&str>, status: u16) -> bool {
    // SQS has names of its own for the older protocol: `AWS.SimpleQueueService.BatchRequestTooLong`.
    let code = code.map(|code| code.rsplit('.').next().unwrap_or(code));
    status == 413
        || matches!(
            code,
            Some(
                "ValidationException"
                    | "ValidationError"
                    | "SerializationException"
                    | "InvalidArgument"
                    | "InvalidParameter"
                    | "InvalidParameterValue"
                    | "InvalidParameterValueException"
                    | "InvalidMessageContents"
                    | "BatchRequestTooLong"
                    | "RequestEntityTooLargeException"
            )
        )
}

/// Makes calls side by side, not too many at once; the answers are in the order of the calls. It takes them as a vector,
/// since a lazy iterator over what is borrowed keeps rustc from proving that the future is `Send`.
pub(crate) async fn side_by_side<C: Future>(calls: Vec<C>) -> Vec<C::Output> {
    let numbered: Vec<_> =
        calls.into_iter().enumerate().map(|(index, call)| async move { (index, call.await) }).collect();
    let mut answers: Vec<_> = stream::iter(numbered).buffer_unordered(CALLS_IN_FLIGHT).collect().await;
    answers.sort_unstable_by_key(|&(index, _)| index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Waits before attempt 1, 2, ... of something: longer each time, with full jitter, so that those who failed together
/// don't come back together.
pub(crate) async fn back_off(attempt: u32) {
    let most = 100_u64 << attempt.min(4);
    let (random, _) = Uuid::new_v4().as_u64_pair();
    sleep(Duration::from_millis(random % most)).await;
}

#[cfg(test)]
mod tests {
    use oms_core::breaker::BreakerConfig;

    use super::*;

    #[test]
    fn only_what_the_sender_can_never_mend_by_waiting_is_a_refusal() {
        for code in ["ValidationException", "AWS.SimpleQueueService.BatchRequestTooLong", "InvalidParameterValue"] {
            assert!(is_refusal(Some(code), 400), "{code}");
        }
        assert!(is_refusal(None, 413));
        for code in ["ThrottlingException", "AccessDeniedException", "ResourceNotFoundException", "InternalFailure"] {
            assert!(!is_refusal(Some(code), 400), "{code}");
        }
    }

    #[tokio::test]
    async fn no_call_is_started_short_before_the_deadline() {
        let breaker = Breaker::new("test", BreakerConfig::default());
        let gate = Gate::new("test", &breaker, Some(Instant::now() + LAST_START - Duration::from_millis(1)));
        let call = async { Ok::<_, SdkError<aws_sdk_sqs::Error>>(()) };
        assert_eq!(gate.call(call).await, Err(CallError::Failed));
        let gate = Gate::new("test", &breaker, Some(Instant::now() + LAST_START * 10));
        let call = async { Ok::<_, SdkError<aws_sdk_sqs::Error>>(()) };
        assert_eq!(gate.call(call).await, Ok(()));
    }
}
