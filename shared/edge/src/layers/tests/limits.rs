//! How much a request may take: of time, and of room in a problem.

use super::*;

/// A service whose writes begin, wait until they are let go on, and end; and what one write tells of itself.
fn writing_service() -> (Router, Arc<Write>) {
    let write = Arc::new(Write::default());
    let state = write.clone();
    let handler = async move || {
        state.begun.notify_one();
        state.may_end.notified().await;
        state.ended.notify_one();
    };
    let edge = Edge::new(config(&[("REQUEST_TIMEOUT_MS", "1000")]), registry());
    (protect(Router::new().route("/write", post(handler.clone()).patch(handler.clone()).delete(handler)), &edge), write)
}

#[derive(Default)]
struct Write {
    begun: tokio::sync::Notify,
    may_end: tokio::sync::Notify,
    ended: tokio::sync::Notify,
}

#[tokio::test(start_paused = true)]
async fn a_write_that_takes_too_long_still_comes_to_its_end() {
    for method in ["POST", "PATCH", "DELETE"] {
        let (router, write) = writing_service();
        let request = http::Request::builder().method(method).uri("/write");
        send(&router, request, Body::empty()).await.is_problem(503, "SERVICE_UNAVAILABLE");
        write.may_end.notify_one();
        tokio::time::timeout(Duration::from_secs(60), write.ended.notified()).await.expect(method);
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_client_hangs_up_still_comes_to_its_end() {
    let (router, write) = writing_service();
    let request = tokio::spawn(async move { send(&router, http::Request::post("/write"), Body::empty()).await });
    write.begun.notified().await;
    request.abort();
    assert!(request.await.is_err_and(|error| error.is_cancelled()));
    write.may_end.notify_one();
    tokio::time::timeout(Duration::from_secs(60), write.ended.notified()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_holds_nothing_after_the_limit() {
    let held = Arc::new(());
    let body_holds = held.clone();
    let body = Body::from_stream(futures::stream::once(async move {
        std::future::pending::<()>().await;
        drop(body_holds);
        Ok::<_, std::convert::Infallible>(Bytes::new())
    }));
    let answer = post_(&service(&[]), "/body", "application/json", body).await;
    answer.is_problem(503, "SERVICE_UNAVAILABLE");
    let freed = async {
        while Arc::strong_count(&held) > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), freed).await.unwrap();
}

#[tokio::test]
async fn a_problem_is_small_however_much_is_wrong() {
    let faults = |count: usize, name: &str| {
        let faults =
            (0..count).map(|n| Fault::at(format!("/{n}"), FaultKind::UnknownProperty { name: name.to_owned() }));
        Error::Invalid { aggregate: Code::InvalidObjectType, faults: faults.collect() }
    };
    let problem = async |error: fn(usize, &str) -> Error, count: usize, name: String| {
        let handler = async move || ApiError::from(error(count, &name));
        let edge = Edge::new(config(&[]), registry());
        get_(&protect(Router::new().route("/", get(handler)), &edge), "/", &[]).await
    };
    let many = problem(faults, 100_000, "age".to_owned()).await;
    let errors = many.json()["errors"].as_array().unwrap().len();
    assert!(errors > 1_000 && many.text.len() < 300 * 1024, "{errors} {}", many.text.len());
    assert!(many.json()["detail"].as_str().unwrap().contains("100000"));
    assert_eq!(many.json()["errors"][999]["pointer"], "/999");
    let large = problem(faults, 1, "é".repeat(1_000_000)).await;
    assert_eq!((large.status, large.text.len() < 50_000), (400, true));
    assert_eq!(large.json()["errors"][0]["pointer"], "/0");
}
