//! Which statements a request runs: PostgreSQL's own log says so, with the values of their parameters.

use std::collections::HashMap;

use anyhow::{Context as _, Result, ensure};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::environment::Environment;

const VALUES: &str = "DETAIL:  parameters: ";

/// A statement and what it was run with.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    /// With `$1` and so on.
    pub(crate) text: String,
    /// Literals, quoted, in order.
    pub(crate) values: Vec<String>,
}

/// The statements that a database runs while `work` is done. It has to connect itself: sessions that are there already do not
/// tell what they run.
pub(crate) async fn during(
    environment: &Environment,
    database: &str,
    work: impl AsyncFnOnce() -> Result<()>,
) -> Result<Vec<Statement>> {
    let mut admin = PgConnection::connect(&environment.database_url).await?;
    set(&mut admin, database, "log_min_duration_statement", "0").await?;
    let before = std::fs::metadata(&environment.postgres_log)?.len();
    let done = work().await;
    set(&mut admin, database, "log_min_duration_statement", "-1").await?;
    done?;
    let log = std::fs::read(&environment.postgres_log)?;
    let log = String::from_utf8_lossy(log.get(usize::try_from(before)?..).context("the log was cut")?).into_owned();
    Ok(read(&log))
}

async fn set(admin: &mut PgConnection, database: &str, setting: &str, value: &str) -> Result<()> {
    let statement = format!("ALTER DATABASE \"{database}\" SET {setting} = '{value}'");
    sqlx::query(AssertSqlSafe(statement)).execute(admin).await?;
    Ok(())
}

/// Reads a log whose lines begin with a time, a zone and a process in brackets; what goes on begins with a tab.
fn read(log: &str) -> Vec<Statement> {
    let mut entries: Vec<String> = Vec::new();
    for line in log.lines() {
        match (line.strip_prefix('\t'), entries.last_mut()) {
            (Some(more), Some(entry)) => {
                entry.push('\n');
                entry.push_str(more);
            }
            _ => entries.push(line.to_owned()),
        }
    }
    let mut statements: Vec<Statement> = Vec::new();
    // What each process has run last; a statement that is only parsed or bound is not yet run.
    let mut last: HashMap<&str, usize> = HashMap::new();
    for entry in &entries {
        let process = entry.split(['[', ']']).nth(1).unwrap_or_default();
        if let Some(values) = entry.split_once(VALUES).map(|(_, values)| values) {
            if let Some(statement) = last.get(process).and_then(|&last| statements.get_mut(last)) {
                statement.values = split(values);
            }
        } else if let Some((_, text)) = entry.split_once("ms  execute ").and_then(|(_, rest)| rest.split_once(": ")) {
            last.insert(process, statements.len());
            statements.push(Statement { text: text.to_owned(), values: Vec::new() });
        } else {
            last.remove(process);
        }
    }
    statements
}

/// `$1 = 'it''s', $2 = NULL` without the names.
fn split(values: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = values;
    while let Some((_, after)) = rest.split_once(" = ") {
        let end = if after.starts_with('\'') { end_of_quoted(after) } else { after.find(',').unwrap_or(after.len()) };
        found.push(after[..end].to_owned());
        rest = &after[end..];
    }
    found
}

/// Where a quoted literal ends; a quote in it is doubled.
fn end_of_quoted(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        if bytes[at] == b'\'' {
            if bytes.get(at + 1) != Some(&b'\'') {
                return at + 1;
            }
            at += 1;
        }
        at += 1;
    }
    text.len()
}

/// Those that a request for types runs: a server also has something to do now and then.
pub(crate) fn of_requests(mut statements: Vec<Statement>) -> Vec<Statement> {
    statements.retain(|statement| statement.text.contains("_type_as_text("));
    statements
}

impl Statement {
    /// The text with literals in place of parameters. `replace` may say something else for one.
    pub(crate) fn with_values(&self, replace: impl Fn(usize, &str) -> Option<String>) -> Result<String> {
        let mut text = String::with_capacity(self.text.len());
        let mut rest = self.text.as_str();
        while let Some(at) = rest.find('$') {
            text.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            ensure!(digits > 0, "a statement with a dollar that is no parameter: {}", self.text);
            let number: usize = rest[..digits].parse()?;
            let value = self.values.get(number - 1).context("a parameter without a value")?;
            text.push_str(&replace(number, value).unwrap_or_else(|| value.clone()));
            rest = &rest[digits..];
        }
        text.push_str(rest);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2026-11-25 13:00:00.000 UTC [7] LOG:  duration: 0.040 ms  parse sqlx_s_1: SELECT 1\n\
        2026-11-25 13:00:00.000 UTC [7] LOG:  duration: 0.040 ms  execute sqlx_s_1: SELECT a,\n\
        \tb FROM t WHERE a = $1 AND b = $2 AND c = $10\n\
        2026-11-25 13:00:00.000 UTC [7] DETAIL:  parameters: $1 = 'it''s, $9 = ', $2 = NULL, $3 = '3', $4 = '4', $5 = '5', \
        $6 = '6', $7 = '7', $8 = '8', $9 = '9', $10 = '{\"a\": 1}'\n\
        2026-11-25 13:00:00.000 UTC [8] LOG:  duration: 0.040 ms  execute <unnamed>: COMMIT\n\
        2026-11-25 13:00:00.000 UTC [7] LOG:  duration: 0.040 ms  bind sqlx_s_1: SELECT $1\n\
        2026-11-25 13:00:00.000 UTC [7] DETAIL:  parameters: $1 = 'not yet'\n";

    #[test]
    fn statements_are_read_with_their_values() {
        let read = read(LOG);
        assert_eq!(read.len(), 2);
        assert_eq!(
            read[0].with_values(|_, _| None).unwrap(),
            "SELECT a,\nb FROM t WHERE a = 'it''s, $9 = ' AND b = NULL AND c = '{\"a\": 1}'"
        );
        let other = read[0].with_values(|number, _| (number == 2).then(|| ":n".to_owned())).unwrap();
        assert!(other.contains("b = :n AND"), "{other}");
        assert_eq!(read[1].text, "COMMIT");
    }
}
