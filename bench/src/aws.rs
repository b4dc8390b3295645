//! What stands for AWS: it takes everything, and does nothing.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, Response, StatusCode, header::CONTENT_TYPE},
};
use tokio::{net::TcpListener, sync::oneshot};

/// Says which operation of which service a request asks for.
pub(crate) const TARGET: &str = "x-amz-target";

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) operation: String,
    pub(crate) body: Bytes,
}

/// DynamoDB without an item and EventBridge without a rule, on a thread of their own. They end with their value.
pub(crate) struct Aws {
    /// For `AWS_ENDPOINT_URL`.
    pub(crate) url: String,
    kept: Arc<Mutex<Option<Vec<Call>>>>,
    _end: oneshot::Sender<()>,
}

impl Aws {
    /// Listens on a free port.
    pub(crate) async fn start() -> Result<Self> {
        let kept: Arc<Mutex<Option<Vec<Call>>>> = Arc::default();
        let (end, ended) = oneshot::channel();
        let (listens, address) = oneshot::channel();
        let routes = Router::new()
            .fallback(answer)
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&kept));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = serve(routes, listens) => {}
                    _ = ended => {}
                }
            });
        });
        Ok(Self { url: format!("http://{}", address.await??), kept, _end: end })
    }

    /// Keeps what comes until it is taken.
    pub(crate) fn keep(&self) {
        *lock(&self.kept) = Some(Vec::new());
    }

    /// What came, in order.
    pub(crate) fn take(&self) -> Vec<Call> {
        lock(&self.kept).take().unwrap_or_default()
    }
}

/// How many calls there are of each operation.
pub(crate) fn operations(calls: &[Call]) -> BTreeMap<&str, usize> {
    let mut operations = BTreeMap::new();
    for call in calls {
        *operations.entry(call.operation.as_str()).or_default() += 1;
    }
    operations
}

async fn serve(routes: Router, listens: oneshot::Sender<std::io::Result<SocketAddr>>) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let _ = listens.send(listener.local_addr());
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        // Without it an answer waits for more.
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, routes).await?)
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(State(kept): State<Arc<Mutex<Option<Vec<Call>>>>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let target = headers.get(TARGET).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit_once('.').map_or("", |(_, operation)| operation);
    let mut response = match least(operation, &body) {
        Some(answer) => Response::new(Body::from(answer)),
        None => {
            let mut response = Response::new(Body::from(r#"{"__type": "UnknownOperationException"}"#));
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response
        }
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
    if let Some(calls) = lock(&kept).as_mut() {
        calls.push(Call { operation: operation.to_owned(), body });
    }
    response
}

/// The least answer that is valid.
fn least(operation: &str, body: &[u8]) -> Option<String> {
    Some(match operation {
        "BatchGetItem" => r#"{"Responses":{},"UnprocessedKeys":{}}"#.to_owned(),
        "UpdateItem" | "TransactWriteItems" => "{}".to_owned(),
        "PutEvents" => {
            // A quote inside of a detail has a backslash before it, so this is no part of one.
            let count = std::str::from_utf8(body).map_or(0, |text| text.matches(r#""DetailType":"#).count());
            let entries = vec![r#"{"EventId":"11710aed-b79e-4468-a20b-bb3c0c3b4860"}"#; count].join(",");
            format!(r#"{{"FailedEntryCount":0,"Entries":[{entries}]}}"#)
        }
        _ => return None,
    })
}
