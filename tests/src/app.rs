//! The service inside the test, over real HTTP.

use std::{net::SocketAddr, sync::Arc};

use axum::Router;
use oms_core::{
    Registry,
    config::{EventConfig, PostgresConfig, RedisConfig, Source},
};
use oms_edge::{Edge, EdgeConfig};
use oms_graphql::GraphqlConfig;
use sqlx::PgPool;
use tokio::{net::TcpListener, task::AbortHandle};

use crate::{client::Client, database::Database, postgres_proxy::PostgresProxy, settings::Settings, token::Token};

/// A running service with a database of its own; both end with the value.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    grpc: SocketAddr,
    client: Client,
    serving: [AbortHandle; 2],
    settings: Settings,
    database: Arc<Database>,
}

impl App {
    /// With the settings that every test starts from.
    pub async fn start() -> Self {
        Self::with(|settings| settings).await
    }

    /// With other settings.
    pub async fn with(change: impl FnOnce(Settings) -> Settings) -> Self {
        Self::over(Database::create().await, change).await
    }

    /// Over a database that was made before.
    pub async fn over(database: Database, change: impl FnOnce(Settings) -> Settings) -> Self {
        let settings = change(Settings::for_database(&database));
        Self::serve(Arc::new(database), settings).await
    }

    /// A second process of the same service: over the same database and cache, with the same settings.
    pub async fn beside(&self) -> Self {
        Self::serve(self.database.clone(), self.settings.clone()).await
    }

    async fn serve(database: Arc<Database>, settings: Settings) -> Self {
        let mut source = Source::from_pairs(settings.pairs());
        let postgres = PostgresConfig::read(&mut source);
        let redis = RedisConfig::read(&mut source);
        let events = EventConfig::read(&mut source);
        let edge = EdgeConfig::read(&mut source);
        let graphql = GraphqlConfig::read(&mut source);
        source.finish().unwrap();

        let registry = Registry::connect_lazy(&postgres, &redis, &events).unwrap();
        let edge = Edge::new(edge, registry);
        let (address, http) = serve(oms_server::router(&edge, graphql)).await;
        let (grpc, rpc) = serve(oms_rpc::router_with_reflection(&edge)).await;
        let serving = [http, rpc];
        Self { address, grpc, client: Client::new(&format!("http://{address}")), serving, settings, database }
    }

    /// Whose statements pass a proxy that counts them. One connection, so that each statement is prepared once.
    pub async fn counted(change: impl FnOnce(Settings) -> Settings) -> (Self, PostgresProxy) {
        let database = Database::create().await;
        let proxy = PostgresProxy::start(&database.url()).await;
        let url = proxy.address_of(&database.url());
        let app =
            Self::over(database, |settings| change(settings.set("DATABASE_URL", url).set("DB_MAX_CONNECTIONS", 1)))
                .await;
        (app, proxy)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where gRPC, gRPC-Web and Connect are.
    #[must_use]
    pub fn grpc(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// A client without a token.
    #[must_use]
    pub fn anonymous(&self) -> Client {
        self.client.clone()
    }

    /// A client with this role in the tenant `default`.
    #[must_use]
    pub fn client(&self, role: &str) -> Client {
        self.client.with_token(Token::of(role).sign())
    }

    /// A client that may do everything.
    #[must_use]
    pub fn admin(&self) -> Client {
        self.client("admin")
    }

    /// The database, to look at what was written.
    pub async fn pool(&self) -> PgPool {
        self.database.pool().await
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.serving.iter().for_each(AbortHandle::abort);
    }
}

/// Serves on a free port, which it tells.
async fn serve(router: Router) -> (SocketAddr, AbortHandle) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    (address, tokio::spawn(async move { axum::serve(listener, service).await }).abort_handle())
}
