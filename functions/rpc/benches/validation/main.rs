//! How long a validation of 1,000 instances takes, from the request's bytes to the answer's: through the router, with a
//! verified token, over a type that comes from the cache as in production. What counts is the processor's time of the whole
//! process, so one core's; the clock's stands beside it in the table at the end.
//!
//! `cargo xtask bench -- -p oms-rpc --bench validation` starts the PostgreSQL and Redis that it needs.

#![expect(clippy::print_stdout, reason = "a benchmark answers on stdout")]

mod patient;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    error::Error,
    hint::black_box,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::{Body, Bytes},
};
use buffa::Message;
use criterion::{Criterion, Throughput};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use jsonwebtoken::{EncodingKey, Header};
use nix::time::{ClockId, clock_gettime};
use oms_core::{
    Registry,
    config::{EventConfig, PostgresConfig, RedisConfig, Source},
    context::{Context, Permissions},
    postgres::Roles,
};
use oms_edge::{Edge, EdgeConfig};
use oms_proto::server::v1 as pb;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tower::ServiceExt;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const INSTANCES: u32 = 1_000;
/// One of so many instances is faulty in the rows that say so.
const FAULTY: u32 = 10;
const SAMPLES: usize = 20;
const SECRET: &str = "the benchmarks sign with this secret";
const METHOD: &str = "/openfoundry.oms.v1.ObjectTypeService/ValidateObjectInstances";
const GRPC: &str = "application/grpc+proto";
const CONNECT: &str = "application/json";
const REFERENCE: &str = "parse only (serde_json)";

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let server = runtime.block_on(Server::start())?;
    let times = Times::default();
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("validate 1000");
    group
        .throughput(Throughput::Elements(u64::from(INSTANCES)))
        .measurement_time(Duration::from_secs(4))
        .sample_size(SAMPLES);

    for (name, faulty) in [("", 0), (", 10% faulty", FAULTY)] {
        for call in calls(faulty)? {
            server.check(&runtime, &call, faulty)?;
            let name = format!("{}{name}", call.name);
            group.bench_function(&name, |bencher| {
                bencher.iter_custom(|count| times.of(&name, count, || drop(runtime.block_on(server.answer(&call)))));
            });
        }
    }
    // The last, on a heap that has grown as that of the others.
    let texts: Vec<Vec<u8>> =
        patient::instances(INSTANCES, 0).iter().map(serde_json::to_vec).collect::<Result<_, _>>()?;
    let bytes: usize = texts.iter().map(Vec::len).sum();
    group.bench_function(REFERENCE, |bencher| {
        bencher.iter_custom(|count| {
            times.of(REFERENCE, count, || {
                let parse = |text: &Vec<u8>| black_box(serde_json::from_slice::<Value>(text)).is_ok();
                assert!(texts.iter().all(parse));
            })
        });
    });
    group.finish();
    times.print(bytes);
    Ok(())
}

/// A request as its bytes.
struct Call {
    name: &'static str,
    media: &'static str,
    body: Bytes,
}

fn calls(faulty: u32) -> Result<[Call; 4]> {
    let instances = patient::instances(INSTANCES, faulty);
    let texts: Vec<String> = instances.iter().map(Value::to_string).collect();
    let texts = json!({ "objectTypeName": "Patient", "instancesJson": texts });
    let structs = json!({ "objectTypeName": "Patient", "instances": instances });
    Ok([
        Call { name: "gRPC, instances_json", media: GRPC, body: framed(&texts)? },
        Call { name: "gRPC, Struct", media: GRPC, body: framed(&structs)? },
        Call { name: "Connect JSON, instancesJson", media: CONNECT, body: texts.to_string().into() },
        Call { name: "Connect JSON, instances", media: CONNECT, body: structs.to_string().into() },
    ])
}

/// The message of gRPC that says the same.
fn framed(request: &Value) -> Result<Bytes> {
    let message = serde_json::from_value::<pb::ValidateObjectInstancesRequest>(request.clone())?.encode_to_vec();
    let head = [&[0][..], &u32::try_from(message.len())?.to_be_bytes()].concat();
    Ok([head, message].concat().into())
}

/// What is measured.
struct Server {
    router: Router,
    token: String,
}

impl Server {
    /// In a tenant of its own, in which it creates the type.
    async fn start() -> Result<Self> {
        let need = |name| std::env::var(name).map_err(|_| format!("{name} is not set: run `cargo xtask bench`"));
        let tenant = uuid::Uuid::now_v7().to_string();
        let mut source = Source::from_pairs([
            ("DATABASE_URL", need("DATABASE_URL")?.as_str()),
            ("REDIS_URL", need("REDIS_URL")?.as_str()),
            ("JWT_ALGORITHM", "HS256"),
            ("JWT_SECRET", SECRET),
            ("JWT_ISSUER", "https://issuer.bench"),
            ("JWT_AUDIENCE", "oms"),
        ]);
        let (postgres, redis) = (PostgresConfig::read(&mut source), RedisConfig::read(&mut source));
        let events = EventConfig::read(&mut source);
        let edge = EdgeConfig::read(&mut source);
        source.finish()?;
        let registry = Registry::connect_lazy(&postgres, &redis, &events)?;
        registry.migrate(&Roles::default(), Instant::now() + Duration::from_secs(60)).await?;
        let author = Context {
            tenant: tenant.parse()?,
            actor: "bench".to_owned(),
            permissions: Permissions::all(),
            expires_at: None,
            ip: None,
            user_agent: None,
            correlation_id: "bench".to_owned(),
            traceparent: None,
            idempotency: None,
        };
        registry.object_types.create(&author, &patient::organization()).await?;
        registry.object_types.create(&author, &patient::definition()).await?;
        let expiry = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 3_600;
        let claims = json!({
            "sub": "bench", "roles": ["viewer"], "tenant": tenant, "exp": expiry,
            "iss": "https://issuer.bench", "aud": "oms",
        });
        let token = jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes()))?;
        Ok(Self { router: oms_rpc::router(&Edge::new(edge, registry)), token })
    }

    /// The status and the bytes of the answer.
    async fn answer(&self, call: &Call) -> Result<(StatusCode, Bytes)> {
        let request = Request::post(METHOD)
            .header(header::CONTENT_TYPE, call.media)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::TE, "trailers")
            .body(Body::from(call.body.clone()))?;
        let response = self.router.clone().oneshot(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    /// That the answer is right, before anybody measures how fast it comes.
    fn check(&self, runtime: &Runtime, call: &Call, faulty: u32) -> Result<()> {
        let (status, answer) = runtime.block_on(self.answer(call))?;
        assert_eq!(status, StatusCode::OK, "{}: {}", call.name, String::from_utf8_lossy(&answer));
        let verdicts = if call.media == CONNECT {
            serde_json::from_slice::<pb::ValidateObjectInstancesResponse>(&answer)?
        } else {
            pb::ValidateObjectInstancesResponse::decode_from_slice(answer.get(5..).ok_or("no message")?)?
        };
        let wrong: Vec<_> = verdicts.results.iter().filter(|result| !result.valid).collect();
        assert_eq!(verdicts.results.len(), INSTANCES as usize, "{}", call.name);
        assert_eq!(wrong.len(), INSTANCES.checked_div(faulty).unwrap_or(0) as usize, "{}: {wrong:?}", call.name);
        assert!(wrong.iter().all(|result| result.violations.len() == 3), "{}: {wrong:?}", call.name);
        println!("{}: {} KiB", call.name, call.body.len() / 1_024);
        Ok(())
    }
}

/// How long each row took by sample: the processor's time and the clock's.
#[derive(Default)]
struct Times(RefCell<BTreeMap<String, Vec<(Duration, Duration)>>>);

impl Times {
    /// Takes the time of `count` runs and keeps what one of them took.
    fn of(&self, name: &str, count: u64, run: impl Fn()) -> Duration {
        let (start, used) = (Instant::now(), processor());
        (0..count).for_each(|_| run());
        let (passed, used) = (start.elapsed(), processor().saturating_sub(used));
        let runs = u32::try_from(count).unwrap_or(u32::MAX);
        self.0.borrow_mut().entry(name.to_owned()).or_default().push((used / runs, passed / runs));
        used
    }

    /// The medians of each row, and how many times they are those of the parsing alone.
    fn print(&self, bytes: usize) {
        let rows = self.0.borrow();
        let Some(reference) = rows.get(REFERENCE).map(|times| median(times, |time| time.0)) else { return };
        println!(
            "\n{INSTANCES} instances of {} properties, {} bytes each as JSON\n{:42} {:>10} {:>10}",
            patient::PROPERTIES,
            bytes / INSTANCES as usize,
            "",
            "processor",
            "clock",
        );
        for (name, times) in rows.iter() {
            let used = median(times, |time| time.0);
            let passed = median(times, |time| time.1);
            let ratio = used.as_secs_f64() / reference.as_secs_f64();
            println!("{name:42} {:7.2} ms {:7.2} ms {ratio:6.2}x", millis(used), millis(passed));
        }
    }
}

/// What this process has used of any processor.
fn processor() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Of the samples that count, which come last: while it warms up, a row still has the heap that the one before has left.
fn median(times: &[(Duration, Duration)], which: impl Fn(&(Duration, Duration)) -> Duration) -> Duration {
    let mut times: Vec<Duration> = times.iter().rev().take(SAMPLES).map(which).collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
