//! Settings of the HTTP side (specification 11.1, 16.9), checked at start, every problem named at once.

use std::{collections::HashMap, str::FromStr, time::Duration};

use http::{HeaderName, HeaderValue, Uri};
use jsonwebtoken::Algorithm;
use oms_core::{
    breaker::BreakerConfig,
    config::{Secret, Source},
    context::{Permission, Permissions},
    id::TenantId,
};

/// Which web pages may call the service (`CORS_ALLOWED_ORIGINS`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// None: no CORS header is ever sent.
    None,
    /// Every page (`*`).
    Any,
    /// These, compared exactly.
    List(Vec<HeaderValue>),
}

/// Where the keys that verify tokens come from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// The shared secret of HS256, at least 32 bytes.
    Secret(Secret),
    /// The address of a JSON Web Key Set (RFC 7517), for the asymmetric algorithms.
    Jwks(String),
}

/// What a token must be like.
#[derive(Debug, Clone)]
pub struct JwtConfig {
    /// The only algorithm that is accepted, whatever a token's header says.
    pub algorithm: Algorithm,
    /// The keys.
    pub keys: KeySource,
    /// The only accepted `iss`.
    pub issuer: String,
    /// The `aud` that must be among the token's.
    pub audience: String,
    /// How far clocks may differ, in seconds; at most 300.
    pub leeway_seconds: u64,
}

/// Whom the service is for (`SERVER_MODE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Developers: it shows pages that help them.
    Development,
    /// Everybody.
    Production,
}

/// Logs and traces, for functions with HTTP and without.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// `SERVICE_NAME`: the service in traces and, on Lambda, in metrics.
    pub service_name: String,
    /// `AWS_LAMBDA_FUNCTION_NAME`: the function in metrics; none when this is no Lambda function.
    pub function: Option<String>,
    /// `LOG_LEVEL`: a level, or directives such as `info,sqlx=warn`.
    pub log_level: String,
    /// `TRACE_ENDPOINT`: where spans go as OTLP over HTTP; `/v1/traces` is added to an address without a path.
    pub trace_endpoint: Option<String>,
}

impl TelemetryConfig {
    /// Reads the settings.
    pub fn read(source: &mut Source) -> Self {
        let log_level = source.text("LOG_LEVEL").unwrap_or_else(|| "info".to_owned());
        if log_level.parse::<tracing_subscriber::filter::Targets>().is_err() {
            source.problem("LOG_LEVEL: expected error, warn, info, debug, trace, or directives such as info,sqlx=warn");
        }
        Self {
            service_name: source.text("SERVICE_NAME").unwrap_or_else(|| "oms-service".to_owned()),
            function: source.text("AWS_LAMBDA_FUNCTION_NAME"),
            log_level,
            trace_endpoint: read_url(source, "TRACE_ENDPOINT"),
        }
    }
}

/// Settings of the HTTP side.
#[derive(Debug, Clone)]
pub struct EdgeConfig {
    /// `SERVER_MODE`.
    pub mode: Mode,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
    /// `JWT_*`.
    pub jwt: JwtConfig,
    /// `API_KEY_HEADER`.
    pub api_key_header: HeaderName,
    /// `ROLE_PERMISSIONS`: what each role may do.
    pub role_permissions: HashMap<String, Permissions>,
    /// `DEFAULT_TENANT`: the tenant of tokens without a `tenant` claim, and of audited failed logins.
    pub default_tenant: TenantId,
    /// `CORS_ALLOWED_ORIGINS`.
    pub cors: Origins,
    /// `MAX_BODY_BYTES`: the most bytes of a request body.
    pub max_body_bytes: usize,
    /// `MAX_RESPONSE_BYTES`: where an answer is shortened; Lambda stops answers at 6 MB.
    pub max_response_bytes: usize,
    /// `REQUEST_TIMEOUT_MS`: how long a handler may take until its answer starts.
    pub request_timeout: Duration,
    /// `EVENT_STREAM_SECONDS`: how long a stream of events lasts before its reader has to resume. By default a quarter of an hour; on
    /// Lambda a minute where answers are streamed (`RESPONSE_STREAMING`), else a stream ends with what is there.
    pub stream_duration: Duration,
    /// `TRUST_FORWARDED_FOR`: whether the right-most `X-Forwarded-For` is the client, which it is behind one proxy.
    pub trust_forwarded_for: bool,
    /// `FAILED_LOGINS_PER_MINUTE` of one client address, until it is refused with 429.
    pub failed_logins_per_minute: u64,
    /// `METRICS_PATH`.
    pub metrics_path: String,
    /// `KAFKA_BROKERS`, or those of development's own: shown by readiness to developers.
    pub kafka_brokers: Option<String>,
    /// `OUTBOX_MAX_AGE_SECONDS`: above this age of the oldest unpublished event, readiness reports `degraded`.
    pub outbox_max_age: Duration,
    /// `CIRCUIT_BREAKER_*`: when an identity provider, or SQS, is left alone.
    pub breaker: BreakerConfig,
}

impl EdgeConfig {
    /// Reads the settings. Problems are noted in the source; the value is only to be used when it has none.
    pub fn read(source: &mut Source) -> Self {
        let metrics_path = source.text("METRICS_PATH").unwrap_or_else(|| "/metrics".to_owned());
        if !metrics_path.starts_with('/') || metrics_path.contains(['{', '}', '?', '#']) {
            source.problem("METRICS_PATH: expected a path such as /metrics");
        }
        let failed_logins_per_minute = source.parse("FAILED_LOGINS_PER_MINUTE", 10, "a number of failed logins");
        Self {
            mode: read_mode(source),
            telemetry: TelemetryConfig::read(source),
            jwt: read_jwt(source),
            api_key_header: read_api_key_header(source),
            role_permissions: read_roles(source),
            default_tenant: read_tenant(source),
            cors: read_origins(source),
            max_body_bytes: read_size(source, "MAX_BODY_BYTES", 4 * 1024 * 1024),
            max_response_bytes: read_size(source, "MAX_RESPONSE_BYTES", 5 * 1024 * 1024),
            request_timeout: source.millis("REQUEST_TIMEOUT_MS", 10_000),
            stream_duration: read_stream_duration(source),
            trust_forwarded_for: source.parse("TRUST_FORWARDED_FOR", false, "true or false"),
            failed_logins_per_minute,
            metrics_path,
            kafka_brokers: source.text("KAFKA_BROKERS"),
            outbox_max_age: Duration::from_secs(source.parse("OUTBOX_MAX_AGE_SECONDS", 60, "a number of seconds")),
            breaker: BreakerConfig::read(source),
        }
    }

    /// The names of the configured roles, sorted.
    pub fn roles(&self) -> Vec<String> {
        let mut roles: Vec<_> = self.role_permissions.keys().cloned().collect();
        roles.sort_unstable();
        roles
    }

    /// What all these roles together may do; a role that is not configured gives nothing.
    pub fn permissions(&self, roles: &[String]) -> Permissions {
        roles
            .iter()
            .filter_map(|role| self.role_permissions.get(role))
            .copied()
            .fold(Permissions::default(), Permissions::union)
    }
}

fn read_stream_duration(source: &mut Source) -> Duration {
    let streaming = source.parse("RESPONSE_STREAMING", false, "true or false");
    let default = match (source.text("AWS_LAMBDA_RUNTIME_API").is_some(), streaming) {
        (false, _) => 900,
        (true, true) => 60,
        (true, false) => 0,
    };
    let seconds = source.parse("EVENT_STREAM_SECONDS", default, "a number of seconds");
    if seconds > 86_400 {
        source.problem("EVENT_STREAM_SECONDS: must be 86400 or less");
    }
    Duration::from_secs(seconds.min(86_400))
}

fn read_mode(source: &mut Source) -> Mode {
    match source.text("SERVER_MODE").as_deref() {
        Some("development") => Mode::Development,
        None | Some("production") => Mode::Production,
        Some(_) => {
            source.problem("SERVER_MODE: expected development or production");
            Mode::Production
        }
    }
}

fn required(source: &mut Source, key: &str, what: &str) -> String {
    source.text(key).unwrap_or_else(|| {
        source.problem(format!("{key}: is required: {what}"));
        String::new()
    })
}

fn read_jwt(source: &mut Source) -> JwtConfig {
    let algorithm = match source.text("JWT_ALGORITHM").as_deref() {
        Some("HS256") => Algorithm::HS256,
        Some("RS256") => Algorithm::RS256,
        Some("ES256") => Algorithm::ES256,
        Some("EdDSA") => Algorithm::EdDSA,
        other => {
            let problem = if other.is_none() { "is required:" } else { "expected" };
            source.problem(format!("JWT_ALGORITHM: {problem} HS256, RS256, ES256 or EdDSA"));
            Algorithm::HS256
        }
    };
    let keys = if algorithm == Algorithm::HS256 {
        let secret = source.text("JWT_SECRET").unwrap_or_default();
        if secret.len() < 32 && source.text("JWT_ALGORITHM").is_some() {
            source.problem("JWT_SECRET: HS256 needs a secret of at least 32 bytes");
        }
        KeySource::Secret(Secret::new(secret))
    } else {
        let url = read_url(source, "JWT_JWKS_URL");
        if url.is_none() && source.text("JWT_JWKS_URL").is_none() {
            source.problem("JWT_JWKS_URL: is required by this JWT_ALGORITHM: the address of the JSON Web Key Set");
        }
        KeySource::Jwks(url.unwrap_or_default())
    };
    let leeway_seconds = source.parse("JWT_LEEWAY_SECONDS", 30, "a number of seconds");
    // Besides being unreasonable, more could overflow when it is added to a claim.
    if leeway_seconds > 300 {
        source.problem("JWT_LEEWAY_SECONDS: must be 300 or less");
    }
    JwtConfig {
        algorithm,
        keys,
        issuer: required(source, "JWT_ISSUER", "the `iss` of accepted tokens"),
        audience: required(source, "JWT_AUDIENCE", "the `aud` of accepted tokens"),
        leeway_seconds: leeway_seconds.min(300),
    }
}

fn read_api_key_header(source: &mut Source) -> HeaderName {
    let default = HeaderName::from_static("x-api-key");
    let name = source.parse("API_KEY_HEADER", default.clone(), "the name of a header");
    if name == http::header::AUTHORIZATION {
        source.problem("API_KEY_HEADER: Authorization is for tokens");
        return default;
    }
    name
}

fn read_tenant(source: &mut Source) -> TenantId {
    // "default" is a tenant, so the loop ends in its second round at the latest.
    let mut text = source.text("DEFAULT_TENANT").unwrap_or_else(|| "default".to_owned());
    loop {
        match TenantId::from_str(&text) {
            Ok(tenant) => return tenant,
            Err(problem) => source.problem(format!("DEFAULT_TENANT: {problem}")),
        }
        text = "default".to_owned();
    }
}

fn read_size(source: &mut Source, key: &str, default: usize) -> usize {
    let size = source.parse(key, default, "a number of bytes");
    if size < 1024 {
        source.problem(format!("{key}: must be 1024 or more"));
    }
    size
}

/// An address over HTTP or HTTPS, if the setting is there; anything else is noted as a problem.
pub fn read_url(source: &mut Source, key: &str) -> Option<String> {
    let text = source.text(key)?;
    let valid = text.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    if valid {
        Some(text)
    } else {
        source.problem(format!("{key}: expected an http or https address"));
        None
    }
}

fn read_origins(source: &mut Source) -> Origins {
    let Some(text) = source.text("CORS_ALLOWED_ORIGINS") else { return Origins::None };
    if text.trim() == "*" {
        return Origins::Any;
    }
    let mut origins = Vec::new();
    for origin in text.split(',').map(str::trim).filter(|origin| !origin.is_empty()) {
        // An origin is scheme, host and port; a browser never sends a slash at the end.
        let bare = origin.split_once("://").is_some_and(|(_, rest)| !rest.is_empty() && !rest.contains('/'));
        match HeaderValue::from_str(origin) {
            Ok(value) if bare => origins.push(value),
            _ => source.problem(format!(
                "CORS_ALLOWED_ORIGINS: {origin:?} is not an origin such as https://example.com, nor *"
            )),
        }
    }
    Origins::List(origins)
}

fn default_roles() -> HashMap<String, Permissions> {
    let viewer: Permissions = [Permission::ObjectTypeRead, Permission::LinkTypeRead].into_iter().collect();
    let editor = [
        Permission::ObjectTypeWrite,
        Permission::ObjectTypeDelete,
        Permission::LinkTypeWrite,
        Permission::LinkTypeDelete,
    ]
    .into_iter()
    .fold(viewer, Permissions::with);
    [("viewer", viewer), ("editor", editor), ("admin", Permissions::all())]
        .into_iter()
        .map(|(role, permissions)| (role.to_owned(), permissions))
        .collect()
}

fn read_roles(source: &mut Source) -> HashMap<String, Permissions> {
    let Some(text) = source.text("ROLE_PERMISSIONS") else { return default_roles() };
    let Ok(listed) = serde_json::from_str::<HashMap<String, Vec<String>>>(&text) else {
        source.problem(r#"ROLE_PERMISSIONS: expected a JSON object such as {"viewer": ["object_type:read"]}"#);
        return HashMap::new();
    };
    let mut roles = HashMap::new();
    for (role, names) in listed {
        let mut permissions = Permissions::default();
        for name in names {
            match Permission::parse(&name) {
                Some(permission) => permissions = permissions.with(permission),
                None => source.problem(format!("ROLE_PERMISSIONS: {role}: there is no permission {name:?}")),
            }
        }
        roles.insert(role, permissions);
    }
    roles
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const SECRET: &str = "a secret of the tests, long enough for HS256";

    pub(crate) fn config(more: &[(&str, &str)]) -> EdgeConfig {
        let mut pairs: HashMap<String, String> = [
            ("JWT_ALGORITHM", "HS256"),
            ("JWT_SECRET", SECRET),
            ("JWT_ISSUER", "https://issuer.test"),
            ("JWT_AUDIENCE", "oms"),
        ]
        .into_iter()
        .chain(more.iter().copied())
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
        pairs.retain(|_, value| !value.is_empty());
        let mut source = Source::from_pairs(pairs);
        let config = EdgeConfig::read(&mut source);
        source.finish().unwrap();
        config
    }

    #[test]
    fn the_defaults_are_those_of_the_specification() {
        let config = config(&[]);
        assert_eq!(config.mode, Mode::Production);
        assert_eq!(config.telemetry.service_name, "oms-service");
        assert_eq!(config.api_key_header, "x-api-key");
        assert_eq!(config.metrics_path, "/metrics");
        assert_eq!(config.max_body_bytes, 4_194_304);
        assert_eq!(config.cors, Origins::None);
        assert_eq!(config.default_tenant.as_str(), "default");
        let of = |role: &str| config.permissions(&[role.to_owned()]);
        assert!(of("viewer").has(Permission::LinkTypeRead) && !of("viewer").has(Permission::ObjectTypeWrite));
        assert!(of("editor").has(Permission::ObjectTypeDelete) && !of("editor").has(Permission::AuditRead));
        assert_eq!(of("admin"), Permissions::all());
        assert_eq!(config.roles(), ["admin", "editor", "viewer"]);
        assert_eq!(of("nobody"), Permissions::default());
    }

    #[test]
    fn every_problem_is_named_at_once_and_no_secret_is_printed() {
        let mut source = Source::from_pairs([
            ("SERVER_MODE", "staging"),
            ("LOG_LEVEL", "oms=shouting"),
            ("JWT_ALGORITHM", "HS256"),
            ("JWT_SECRET", "hush"),
            ("JWT_LEEWAY_SECONDS", "100000"),
            ("API_KEY_HEADER", "not a header"),
            ("ROLE_PERMISSIONS", r#"{"viewer": ["object_type:fly"]}"#),
            ("DEFAULT_TENANT", "a b"),
            ("CORS_ALLOWED_ORIGINS", "https://ok.test,example.com/"),
            ("MAX_BODY_BYTES", "1"),
            ("TRACE_ENDPOINT", "jaeger"),
            ("METRICS_PATH", "metrics"),
        ]);
        let config = EdgeConfig::read(&mut source);
        assert!(!format!("{config:?}").contains("hush"));
        let error = source.finish().unwrap_err();
        let text = error.to_string();
        assert!(!text.contains("hush"));
        for key in [
            "SERVER_MODE",
            "LOG_LEVEL",
            "JWT_SECRET",
            "JWT_LEEWAY_SECONDS",
            "JWT_ISSUER",
            "JWT_AUDIENCE",
            "API_KEY_HEADER",
            "object_type:fly",
            "DEFAULT_TENANT",
            "example.com/",
            "MAX_BODY_BYTES",
            "TRACE_ENDPOINT",
            "METRICS_PATH",
        ] {
            assert!(text.contains(key), "{key} in {text}");
        }
        assert_eq!(error.0.len(), 13, "{text}");
    }

    #[test]
    fn an_asymmetric_algorithm_needs_the_address_of_its_keys_and_no_secret() {
        let mut source = Source::from_pairs([("JWT_ALGORITHM", "RS256"), ("JWT_ISSUER", "i"), ("JWT_AUDIENCE", "a")]);
        EdgeConfig::read(&mut source);
        let error = source.finish().unwrap_err();
        assert_eq!(error.0.len(), 1, "{error}");
        assert!(error.0[0].starts_with("JWT_JWKS_URL"), "{error}");
    }

    #[test]
    fn no_algorithm_is_one_problem_not_two() {
        let mut source = Source::from_pairs([("JWT_ISSUER", "i"), ("JWT_AUDIENCE", "a")]);
        EdgeConfig::read(&mut source);
        assert_eq!(source.finish().unwrap_err().0.len(), 1);
    }
}
