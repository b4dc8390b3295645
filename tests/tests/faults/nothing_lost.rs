//! 20,000 writes while everything behind the database breaks again and again.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use oms_tests::{Aws, Database, Server, Settings, TcpProxy, Topic, until_within};
use serde_json::Value;
use sqlx::PgPool;
use tokio::task::{JoinHandle, spawn_blocking};
use xtask::services::Kafka;

use crate::{
    moto::FastMoto,
    ontology::Ontology,
    random::{Random, number, seed},
    seen::{Seen, stored},
};

/// `OMS_FAULTS_WRITES` changes it.
const WRITES: u64 = 20_000;
const OBJECT_TYPES: usize = 440;
const LINK_TYPES: usize = 60;
const CLIENTS: usize = 16;
/// `OMS_FAULTS_KILLS` changes it.
const KILLS: u64 = 100;
/// The most milliseconds that a client pauses between two writes, so that they last about as long as the kills.
const PAUSE: usize = 150;
/// After so many kills Kafka goes away, and AWS.
const KAFKA_OUTAGES: [u64; 4] = [12, 37, 58, 83];
const AWS_OUTAGES: [u64; 5] = [6, 25, 50, 70, 90];
/// How long everything may take to arrive once it is left in peace.
const PATIENCE: Duration = Duration::from_secs(400);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_and_all_is_in_order_whatever_is_killed() {
    let (seed, started) = (seed(), Instant::now());
    println!("seed {seed} (OMS_FAULTS_SEED repeats its choices)");
    let writes = usize::try_from(number("OMS_FAULTS_WRITES").unwrap_or(WRITES)).unwrap();
    let kills = number("OMS_FAULTS_KILLS").unwrap_or(KILLS);
    let mut random = Random::new(seed);
    let (kafka, moto) = (Kafka::temporary().unwrap(), FastMoto::start().await);
    let (topic, aws) = (Topic::create_on(&kafka.brokers(), 6).await, Aws::create_on(&moto.endpoint()).await);
    let proxy = Arc::new(TcpProxy::start(&moto.address()).await);
    let database = Database::create().await;
    let settings = Settings::for_database(&database);
    let writer = Server::start(&settings).await;
    let settings = aws
        .settings(topic.settings(settings))
        .set("RELAY_INSTANCE", "relay")
        .set("AWS_ENDPOINT_URL", format!("http://{}", proxy.address()));

    let editor = writer.client("editor");
    let ontology = Arc::new(Ontology::create(&editor, OBJECT_TYPES, LINK_TYPES).await);
    let (fanned, queued) = (Poller::start(&aws, aws.target()), Poller::start(&aws, aws.fifo()));
    let (mut of_writes, of_kills) = (random.fork(), random.fork());
    let writing = async {
        ontology.grow(&writer, CLIENTS, writes, PAUSE, &mut of_writes).await;
        println!("{:.0} s: all is written", started.elapsed().as_secs_f64());
    };
    let killing = async {
        let kafka = kill(&settings, kills, kafka, &proxy, of_kills).await;
        let elapsed = started.elapsed().as_secs_f64();
        println!("{elapsed:.0} s: the last kill; {} on the bus, {} in the queue", fanned.events(), queued.events());
        kafka
    };
    let ((), kafka) = tokio::join!(writing, killing);

    let last = Server::start(&settings).await;
    let pool = database.pool().await;
    until_within(PATIENCE, "not everything was published", async || (unpublished(&pool).await == 0).then_some(()))
        .await;
    println!("{:.0} s: all is published", started.elapsed().as_secs_f64());
    let mut in_kafka = Seen::default();
    for message in topic.messages().await {
        in_kafka.add(message.json());
    }
    for (poller, what) in [(&fanned, "not everything reached the bus"), (&queued, "not everything reached the queue")] {
        let mut known = (0, Instant::now());
        until_within(PATIENCE, what, async || {
            let events = poller.events();
            if events > known.0 && known.1.elapsed() > Duration::from_secs(10) {
                println!("{:.0} s: {events}", started.elapsed().as_secs_f64());
                known = (events, Instant::now());
            }
            (events >= writes).then_some(())
        })
        .await;
    }
    println!("{:.0} s: all is relayed", started.elapsed().as_secs_f64());
    last.stop().await;
    let (fanned, queued) = (fanned.stop().await, queued.stop().await);
    println!(
        "{writes} writes on {} entities by {CLIENTS} clients ({} lost races), {kills} kills, {} outages of Kafka, {} of AWS\n\
        Kafka: {} events and {} repeats\nEventBridge: {} events and {} repeats\nFIFO queue: {} events and {} repeats\n\
        {:.0} s",
        OBJECT_TYPES + LINK_TYPES,
        ontology.lost_races(),
        KAFKA_OUTAGES.iter().filter(|kill| **kill < kills).count(),
        AWS_OUTAGES.iter().filter(|kill| **kill < kills).count(),
        in_kafka.events(),
        in_kafka.repeats(),
        fanned.events(),
        fanned.repeats(),
        queued.events(),
        queued.repeats(),
        started.elapsed().as_secs_f64()
    );
    assert_eq!(ontology.versions().map(|(_, version)| version).sum::<i64>(), i64::try_from(writes).unwrap());
    for seen in [&in_kafka, &fanned, &queued] {
        seen.assert_complete(ontology.versions());
    }
    in_kafka.assert_in_order();
    queued.assert_in_order();
    assert_eq!(aws.waiting(aws.dead_letters()).await, 0, "an outage makes no dead letters");
    assert_eq!(topic.dead_letters().await, []);

    let database = stored(&editor).await;
    for seen in [&in_kafka, &fanned, &queued] {
        assert_eq!(seen.rebuilt(), database, "what the events say is what the database has");
    }
    for path in ontology.deleted() {
        editor.get(path).expect(404).await;
    }
    drop((kafka, proxy, moto));
}

/// Starts the publisher and the relay and kills them, again and again, with outages of what they need now and then.
async fn kill(settings: &Settings, kills: u64, kafka: Kafka, proxy: &Arc<TcpProxy>, mut random: Random) -> Kafka {
    let kafka = Arc::new(Mutex::new(kafka));
    let mut outages = Vec::new();
    for kill in 0..kills {
        let server = Server::start(settings).await;
        if KAFKA_OUTAGES.contains(&kill) {
            let (kafka, by_crash, lasts) = (kafka.clone(), random.percent(50), random.millis(3_000));
            outages.push(spawn_blocking(move || {
                let mut kafka = kafka.lock().unwrap();
                if by_crash {
                    kafka.kill()
                } else {
                    kafka.stop().unwrap()
                }
                std::thread::sleep(lasts);
                kafka.start().unwrap();
            }));
        }
        if AWS_OUTAGES.contains(&kill) {
            let (proxy, lasts) = (proxy.clone(), random.millis(4_000));
            outages.push(tokio::spawn(async move {
                proxy.cut();
                tokio::time::sleep(lasts).await;
                proxy.restore();
            }));
        }
        // Every third one lives long enough to get something done.
        let life = if random.percent(33) { 4_000 } else { 800 };
        tokio::time::sleep(random.millis(life)).await;
        server.kill().await;
    }
    join_all(outages).await.into_iter().for_each(Result::unwrap);
    Arc::into_inner(kafka).unwrap().into_inner().unwrap()
}

/// Events that are above their partition's checkpoint, or not in the log yet.
async fn unpublished(pool: &PgPool) -> i64 {
    sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM events e JOIN publisher_checkpoints c
            USING (publisher_partition) WHERE e.position > c.position)",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

/// Reads a queue all the time, alone, so that the order is seen as it is.
struct Poller {
    seen: Arc<Mutex<Seen>>,
    ends: Arc<AtomicBool>,
    polling: JoinHandle<()>,
}

impl Poller {
    fn start(aws: &Aws, queue: &str) -> Self {
        let (seen, ends) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let (aws, queue, into, end) = (aws.clone(), queue.to_owned(), seen.clone(), ends.clone());
        let polling = tokio::spawn(async move {
            loop {
                // Asked before the last look, so that nothing is left.
                let ends = end.load(Ordering::SeqCst);
                let taken = aws.take_away(&queue).await;
                if taken.is_empty() {
                    if ends {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                let mut seen = into.lock().unwrap();
                // EventBridge wraps it.
                let unwrap = |mut event: Value| if event["detail"].is_null() { event } else { event["detail"].take() };
                taken.into_iter().map(unwrap).for_each(|event| seen.add(event));
            }
        });
        Self { seen, ends, polling }
    }

    fn events(&self) -> usize {
        self.seen.lock().unwrap().events()
    }

    async fn stop(self) -> Seen {
        self.ends.store(true, Ordering::SeqCst);
        self.polling.await.unwrap();
        Arc::into_inner(self.seen).unwrap().into_inner().unwrap()
    }
}
