//! Pages and searches of 1,000, 10,000 and 100,000 object types: what ten or a hundred times as many cost. There is no cache.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Bench, LARGE, Loaded, MEDIUM, NO_CACHE, SMALL};
use crate::{
    environment::{self, Environment},
    measure::alternate,
    report::{Goal, Row},
    server::Server,
    tools::{self, Requests},
};

/// Entries of a page.
const LIMIT: usize = 50;

/// A server, and what is asked of it.
struct Side {
    server: Server,
    headers: Vec<(String, String)>,
    /// The types that it has.
    types: usize,
}

pub(crate) async fn measure(bench: &mut Bench) -> Result<Vec<Row>> {
    let mut sides = Vec::new();
    for loaded in [SMALL, MEDIUM, LARGE] {
        bench.load(loaded).await?;
        sides.push(Side::start(&bench.environment, loaded).await?);
    }
    let (rounds, environment) = (bench.rounds(9, 3), &bench.environment);
    let [small, larger @ ..] = sides.as_slice() else { unreachable!("there are three") };
    let mut rows = Vec::new();
    for (name, question) in QUESTIONS {
        let reference = small.paths(question).await?;
        for side in larger {
            let paths = side.paths(question).await?;
            let pairs = alternate(
                rounds,
                async || side.median(environment, &paths).await,
                async || small.median(environment, &reference).await,
            );
            let name = format!("{name}, {}k types against 1k", side.types / 1_000);
            rows.push(Row::new(name, "us", &pairs.await?, Some(Goal::AtMost(1.5))));
        }
    }
    Ok(rows)
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
enum Question {
    FirstPage,
    /// Far down the list.
    DeepPage,
    /// A type by its whole name.
    Name,
    /// A type by its name with two letters swapped.
    Misspelt,
    /// Two words that are in one type of two hundred.
    Words,
}

const QUESTIONS: [(&str, Question); 5] = [
    ("list page", Question::FirstPage),
    ("deep page", Question::DeepPage),
    ("search, a name", Question::Name),
    ("search, a misspelt name", Question::Misspelt),
    ("search, two words", Question::Words),
];

impl Side {
    async fn start(environment: &Environment, (database, types): Loaded) -> Result<Self> {
        let headers = vec![("Authorization".to_owned(), format!("Bearer {}", environment::token()?))];
        Ok(Self { server: Server::oms(environment, database, NO_CACHE).await?, headers, types })
    }

    async fn paths(&self, question: Question) -> Result<Vec<String>> {
        let page = format!("/api/v1/object-types?limit={LIMIT}");
        Ok(match question {
            Question::FirstPage => vec![page],
            Question::DeepPage => vec![format!("{page}&cursor={}", self.deep_cursor().await?)],
            Question::Name => (0..100)
                .map(|number| format!("/api/v1/search?kind=object_type&q={}", self.name(number * self.types / 100)))
                .collect(),
            Question::Misspelt => (0..20)
                .map(|number| {
                    let mut name: Vec<char> = self.name(number * self.types / 20).chars().collect();
                    name.swap(2, 3);
                    format!("/api/v1/search?kind=object_type&q={}", name.into_iter().collect::<String>())
                })
                .collect(),
            Question::Words => ["customer+sales", "sensor+energy", "invoice+finance", "route+service"]
                .map(|words| format!("/api/v1/search?kind=object_type&q={words}"))
                .into(),
        })
    }

    fn name(&self, number: usize) -> String {
        crate::ontology::object_type(number, 0)["name"].as_str().unwrap_or_default().to_owned()
    }

    /// The cursor after eight tenths of the list.
    async fn deep_cursor(&self) -> Result<String> {
        let (mut cursor, mut seen) = (String::new(), 0);
        while seen < self.types * 8 / 10 {
            let page: Value = self.server.get(&format!("/api/v1/object-types?limit=200{cursor}")).await?;
            seen += page["data"].as_array().context("a page without data")?.len();
            cursor = format!("&cursor={}", page["page"]["nextCursor"].as_str().context("the list ends too early")?);
        }
        // It is of the same list, whatever the size of a page.
        Ok(cursor.trim_start_matches("&cursor=").to_owned())
    }

    /// Microseconds of the median.
    async fn median(&self, environment: &Environment, paths: &[String]) -> Result<f64> {
        let requests = Requests { paths: paths.to_vec(), headers: self.headers.clone(), body: None };
        Ok(tools::wrk(environment, &self.server.url, &requests, 1, 1).await?.median)
    }
}
