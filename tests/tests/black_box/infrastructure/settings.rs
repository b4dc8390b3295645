//! Environment variables: each is one that the function reads, each that it reads is there or rightly left out, and together they
//! are a configuration that the function takes.

use std::{collections::BTreeSet, path::PathBuf};

use oms_core::config::Source;

use super::{
    functions,
    template::{STAGES, Stack},
};

/// What no template sets, and why its default is right on AWS. What only makes sense elsewhere is named with the rest.
const LEFT_OUT: &[(&str, &str)] = &[
    ("AWS_REGION", "Lambda sets it"),
    ("AWS_LAMBDA_RUNTIME_API", "Lambda sets it"),
    ("AWS_LAMBDA_FUNCTION_NAME", "Lambda sets it"),
    ("AWS_ENDPOINT_URL", "AWS is where it is"),
    ("DATABASE_URL", "it would have a password; the DB_ variables and IAM do without"),
    ("DATABASE_DIRECT_URL", "likewise; what needs the cluster itself has it as DB_HOST"),
    ("DB_PASSWORD", "functions log in by IAM, and migrate reads the secret"),
    ("DB_MAX_CONNECTIONS", "one in an environment, by default"),
    ("DB_MAX_LIFETIME_MS", "the default"),
    ("DB_ACQUIRE_TIMEOUT_MS", "the default: who asks a database that wakes up is told to ask again"),
    ("DB_STATEMENT_TIMEOUT_MS", "the default; migrate gives it to the roles"),
    ("REDIS_URL", "it would have a password"),
    ("REDIS_PASSWORD", "functions log in by IAM"),
    ("REDIS_DB", "a cluster has one"),
    ("REDIS_KEY_PREFIX", "nobody else uses this cache"),
    ("REDIS_TIMEOUT_MS", "the default"),
    ("CACHE_TTL_MS", "the default"),
    ("JWT_SECRET", "for HS256 alone, which nobody should need outside a laptop"),
    ("JWT_LEEWAY_SECONDS", "the default"),
    ("API_KEY_HEADER", "the default"),
    ("ROLE_PERMISSIONS", "the default roles"),
    ("DEFAULT_TENANT", "the default"),
    ("FAILED_LOGINS_PER_MINUTE", "the default"),
    ("SERVER_MODE", "production by default"),
    ("METRICS_PATH", "of the server; functions write to CloudWatch"),
    ("TRUST_FORWARDED_FOR", "API Gateway says who the client is"),
    ("REQUEST_TIMEOUT_MS", "the default, below the functions' time-outs"),
    ("MAX_BODY_BYTES", "the default"),
    ("MAX_RESPONSE_BYTES", "the default"),
    ("GRAPHQL_INTROSPECTION", "the default"),
    ("GRAPHQL_MAX_ALIASES", "the default"),
    ("GRAPHQL_MAX_COMPLEXITY", "the default"),
    ("GRAPHQL_MAX_DEPTH", "the default"),
    ("GRAPHQL_MAX_DIRECTIVES", "the default"),
    ("GRAPHQL_MAX_ENTITIES", "the default"),
    ("GRAPHQL_MAX_TOKENS", "the default"),
    ("CIRCUIT_BREAKER_FAILURES", "the default"),
    ("CIRCUIT_BREAKER_OPEN_MS", "the default"),
    ("OUTBOX_MAX_AGE_SECONDS", "the default"),
    ("EVENT_MAX_BYTES", "the default"),
    ("EVENT_RETENTION_DAYS", "the default"),
    ("EVENT_POLL_MS", "the default"),
    ("EVENT_STREAM_SECONDS", "the default, which fits a stream of API Gateway"),
    ("KAFKA_CA_FILE", "MSK has public certificates"),
    ("KAFKA_TOPIC", "the default"),
    ("KAFKA_DLQ_TOPIC", "the default"),
    ("KAFKA_DELIVERY_TIMEOUT_MS", "the default"),
    ("KAFKA_LINGER_MS", "the default"),
    ("JWKS_KEY", "the default, which JWT_JWKS_URL names"),
];

/// What is in the template of one function and rightly not in that of another.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("RestFunction", "RESPONSE_STREAMING", "an HTTP API does not stream"),
    ("GraphqlFunction", "RESPONSE_STREAMING", "an HTTP API does not stream"),
    ("RestFunction", "KAFKA_BROKERS", "health tells the age of the outbox instead"),
    ("RestStreamFunction", "KAFKA_BROKERS", "health tells the age of the outbox instead"),
    ("GraphqlFunction", "KAFKA_BROKERS", "health tells the age of the outbox instead"),
    ("GraphqlStreamFunction", "KAFKA_BROKERS", "health tells the age of the outbox instead"),
    ("RpcFunction", "KAFKA_BROKERS", "health tells the age of the outbox instead"),
    ("RpcFunction", "POKE_QUEUE_URL", "it writes nothing"),
    ("MigrateFunction", "DB_USER", "the secret has it"),
    ("MigrateFunction", "DB_IAM_AUTH", "the owner has a password, in the secret"),
];

/// What a library of Lambda's reads for itself.
const OF_LIBRARIES: [&str; 1] = ["AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH"];

/// Reads the settings of a program as its `main` does.
fn read(program: &str, source: &mut Source) {
    match program {
        "rest" => drop(oms_rest::settings(source)),
        "graphql" => drop(oms_graphql::settings(source)),
        "rpc" => drop(oms_rpc::settings(source)),
        "outbox-publisher" => drop(oms_outbox_publisher::lambda::settings(source)),
        "event-relay" => drop(oms_event_relay::lambda::settings(source)),
        "migrate" => drop(oms_migrate::settings(source)),
        "jwks" => drop(oms_jwks::settings(source)),
        other => panic!("what does {other} read?"),
    }
}

/// What Lambda itself tells a function.
fn of_lambda() -> Vec<(String, String)> {
    [
        ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_SESSION_TOKEN", "token"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// What the layer of a function has, which Lambda shows under `/opt`.
struct Layer(PathBuf);

impl Layer {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("oms-layer-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("rds")).unwrap();
        std::fs::write(folder.join("rds/global-bundle.pem"), "certificates").unwrap();
        Self(folder)
    }

    fn in_place_of_opt(&self, value: String) -> String {
        value.strip_prefix("/opt/").map_or(value.clone(), |path| self.0.join(path).to_string_lossy().into_owned())
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_function_takes_the_settings_that_its_template_gives_it() {
    let layer = Layer::new();
    for stage in STAGES {
        let functions = functions(&Stack::of(stage));
        assert!(functions.len() > 8, "{stage} has {} functions", functions.len());
        for function in functions {
            let (Some(program), given) = (&function.program, function.variables()) else { continue };
            let pairs = given.iter().cloned().map(|(name, value)| (name, layer.in_place_of_opt(value)));
            let mut source = oms_edge::iam::offer(Source::from_pairs(pairs.chain(of_lambda())));
            read(program, &mut source);
            let asked = source.asked();
            let unread: Vec<_> = given
                .iter()
                .map(|(name, _)| name)
                .filter(|name| !asked.contains(*name) && !OF_LIBRARIES.contains(&name.as_str()))
                .collect();
            assert!(unread.is_empty(), "{stage}: {} does not read {unread:?}", function.resource);
            if let Err(error) = source.finish() {
                panic!("{stage}: {} does not start: {error}", function.resource);
            }
        }
    }
}

#[test]
fn every_setting_is_in_a_template_or_left_out_for_a_reason() {
    let left_out: BTreeSet<&str> = LEFT_OUT.iter().map(|(name, _)| *name).collect();
    let (mut given, mut wanted, mut missing) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for function in STAGES.iter().flat_map(|stage| functions(&Stack::of(stage))) {
        let Some(program) = &function.program else { continue };
        // What is asked for depends on what is there.
        for pairs in [function.variables(), Vec::new()] {
            let mut source = Source::from_pairs(pairs);
            read(program, &mut source);
            let asked = source.asked();
            let unset =
                asked.iter().filter(|name| !left_out.contains(name.as_str()) && !function.declared.contains(*name));
            missing.extend(unset.map(|name| (function.resource.clone(), name.clone())));
            wanted.extend(asked.iter().cloned());
        }
        given.extend(function.declared);
    }
    let mut useless = Vec::new();
    for (resource, name, _) in ELSEWHERE {
        if !(given.contains(*name) && missing.remove(&((*resource).to_owned(), (*name).to_owned()))) {
            useless.push((resource, name));
        }
    }
    assert!(missing.is_empty(), "neither in a template nor left out for a reason: {missing:#?}");
    assert!(useless.is_empty(), "nothing needs this excuse: {useless:#?}");
    let unasked: Vec<_> =
        left_out.iter().filter(|name| !name.starts_with("AWS_") && !wanted.contains(**name)).collect();
    assert!(unasked.is_empty(), "left out, and no program asks for it: {unasked:?}");
    let both: Vec<_> = left_out.iter().filter(|name| given.contains(**name)).collect();
    assert!(both.is_empty(), "left out, and yet in a template: {both:?}");
}

#[test]
fn no_template_has_a_secret() {
    for stage in STAGES {
        for function in functions(&Stack::of(stage)) {
            for (name, value) in function.variables() {
                let is_secret =
                    ["PASSWORD", "JWT_SECRET", "DATABASE_URL", "REDIS_URL"].iter().any(|part| name.contains(part));
                assert!(!is_secret && !value.contains("resolve:"), "{}: {name}", function.resource);
            }
        }
    }
}
