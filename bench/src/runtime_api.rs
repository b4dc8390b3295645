//! Lambda's Runtime API, and its Extensions API as far as an internal extension needs it, for one function.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, Response, StatusCode},
    routing::{get, post},
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
};

/// How long a function may take for anything.
const LIMIT: Duration = Duration::from_secs(120);

const ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:bench";

/// What the function did, and when.
enum Step {
    Asked(Instant),
    Handed(Instant),
    Answered { at: Instant, body: Bytes },
    Failed(Bytes),
}

/// What came of an event.
pub(crate) struct Invocation {
    /// Until the answer was there: what a client waits.
    pub(crate) took: Duration,
    /// Until the function asked for more: what is paid for.
    pub(crate) busy: Duration,
    pub(crate) answer: Bytes,
}

struct Shared {
    steps: mpsc::UnboundedSender<Step>,
    invocations: Mutex<mpsc::UnboundedReceiver<Bytes>>,
    /// What the extension is told.
    told: Mutex<mpsc::UnboundedReceiver<()>>,
}

/// The API that a function asks. It ends with the runtime.
pub(crate) struct RuntimeApi {
    address: SocketAddr,
    steps: mpsc::UnboundedReceiver<Step>,
    invocations: mpsc::UnboundedSender<Bytes>,
    tell: mpsc::UnboundedSender<()>,
}

impl RuntimeApi {
    /// Listens on a free port.
    pub(crate) async fn start() -> Result<Self> {
        let (step, steps) = mpsc::unbounded_channel();
        let (invocations, to_hand) = mpsc::unbounded_channel();
        let (tell, told) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { steps: step, invocations: Mutex::new(to_hand), told: Mutex::new(told) });
        let routes = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(error))
            .route("/2020-01-01/extension/register", post(register))
            .route("/2020-01-01/extension/event/next", get(event))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(shared);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            // Without it an answer waits for more.
            let _ = stream.set_nodelay(true);
        });
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { address, steps, invocations, tell })
    }

    /// For `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// When the function asked for work.
    pub(crate) async fn asked(&mut self) -> Result<Instant> {
        match self.step().await? {
            Step::Asked(at) => Ok(at),
            Step::Failed(body) => bail!("the function failed: {}", String::from_utf8_lossy(&body)),
            Step::Handed(_) | Step::Answered { .. } => bail!("the function did not ask for work when it should have"),
        }
    }

    /// Hands it an event, and waits until it asks for the next one.
    pub(crate) async fn invoke(&mut self, event: &Bytes) -> Result<Invocation> {
        self.invocations.send(event.clone())?;
        // Nobody listens where no extension is registered.
        let _ = self.tell.send(());
        let (mut handed, mut answer) = (None, None);
        loop {
            match self.step().await? {
                Step::Handed(at) => handed = Some(at),
                Step::Answered { at, body } => answer = Some((at, body)),
                Step::Failed(body) => bail!("the invocation failed: {}", String::from_utf8_lossy(&body)),
                Step::Asked(asked) => {
                    let (at, answer) = answer.context("the function asked for more before it answered")?;
                    let handed = handed.context("it answered what it was not handed")?;
                    return Ok(Invocation { took: at - handed, busy: asked - handed, answer });
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Step> {
        let step = tokio::time::timeout(LIMIT, self.steps.recv()).await.context("the function took too long")?;
        step.context("the API has ended")
    }
}

async fn next(State(shared): State<Arc<Shared>>) -> Response<Body> {
    let _ = shared.steps.send(Step::Asked(Instant::now()));
    let Some(event) = shared.invocations.lock().await.recv().await else { return status(StatusCode::GONE) };
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + LIMIT;
    let mut response = Response::new(Body::from(event));
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    };
    set("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd");
    set("lambda-runtime-deadline-ms", &deadline.as_millis().to_string());
    set("lambda-runtime-invoked-function-arn", ARN);
    set("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0");
    set("content-type", "application/json");
    let _ = shared.steps.send(Step::Handed(Instant::now()));
    response
}

async fn response(State(shared): State<Arc<Shared>>, Path(_): Path<String>, body: Bytes) -> StatusCode {
    let _ = shared.steps.send(Step::Answered { at: Instant::now(), body });
    StatusCode::ACCEPTED
}

async fn error(State(shared): State<Arc<Shared>>, body: Bytes) -> StatusCode {
    let _ = shared.steps.send(Step::Failed(body));
    StatusCode::ACCEPTED
}

async fn register(_: HeaderMap) -> Response<Body> {
    let mut response =
        Response::new(Body::from(r#"{"functionName":"bench","functionVersion":"1","handler":"bootstrap"}"#));
    response.headers_mut().insert("lambda-extension-identifier", axum::http::HeaderValue::from_static("bench"));
    response
}

async fn event(State(shared): State<Arc<Shared>>) -> Response<Body> {
    if shared.told.lock().await.recv().await.is_none() {
        return status(StatusCode::GONE);
    }
    let event = serde_json::json!({
        "eventType": "INVOKE",
        "deadlineMs": 4_102_444_800_000_u64,
        "requestId": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        "invokedFunctionArn": ARN,
        "tracing": {"type": "X-Amzn-Trace-Id", "value": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0"},
    });
    Response::new(Body::from(event.to_string()))
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
