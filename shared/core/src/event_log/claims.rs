//! A publisher's hold on partitions of the log.

use std::collections::{BTreeMap, HashMap};

use sqlx::{Connection, PgConnection};

use super::{LogEvent, repository, row::readable_by_partition};
use crate::{error::Result, postgres::Database};

/// Tells these advisory locks from others of the database.
const CLASS: i32 = 0x006f_6d73;

/// About how many bytes of text are taken at once.
const BYTES: i64 = 16 << 20;

/// A session that locks partitions, reads what they have to publish and moves their checkpoints. No transaction is open in
/// between, however long Kafka takes. Whoever loses the session loses the locks with it; all that can follow is a repeat.
#[derive(Debug)]
pub struct Claims {
    connection: PgConnection,
    db: Database,
    /// How far each partition was read since it was claimed: what is read next begins there, published or not.
    read: HashMap<i16, i64>,
}

impl Claims {
    pub(super) fn new(connection: PgConnection, db: Database) -> Self {
        Self { connection, db, read: HashMap::new() }
    }

    /// Locks up to `most` partitions that have something to publish, in any order. None means that there is nothing to do, or
    /// that others are doing it.
    pub async fn claim(&mut self, most: usize) -> Result<Vec<i16>> {
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        Ok(self.db.aside(repository::claim(&mut self.connection, CLASS, most)).await?)
    }

    /// The next events of claimed partitions, in order of position, after those that were read before: about `limit`, an equal
    /// share of each partition, fewer when they are large, none when all were read. What was read and not noted as published
    /// is read again once the partition is released and claimed anew.
    pub async fn next(&mut self, partitions: &[i16], limit: i64) -> Result<Vec<LogEvent>> {
        let share = (limit / i64::try_from(partitions.len().max(1)).unwrap_or(i64::MAX)).max(1);
        let read: Vec<i64> =
            partitions.iter().map(|partition| self.read.get(partition).copied().unwrap_or(0)).collect();
        let rows = repository::unpublished(&mut self.connection, partitions, &read, share, BYTES);
        let events = readable_by_partition(self.db.aside(rows).await?)?;
        self.read.extend(events.iter().map(|event| (event.partition, event.position)));
        Ok(events)
    }

    /// Notes how far partitions were published: pairs of partition and position. It is tried however often the database did
    /// not answer: what is not noted will repeat.
    pub async fn advance(&mut self, reached: &[(i16, i64)]) -> Result<()> {
        let mut highest: BTreeMap<i16, i64> = BTreeMap::new();
        for &(partition, position) in reached {
            highest.entry(partition).and_modify(|known| *known = position.max(*known)).or_insert(position);
        }
        let (partitions, positions): (Vec<i16>, Vec<i64>) = highest.into_iter().unzip();
        Ok(self.db.aside_anyway(repository::advance(&mut self.connection, &partitions, &positions)).await?)
    }

    /// Unlocks every partition. It is tried however often the database did not answer: nobody else has what is locked.
    pub async fn release(&mut self) -> Result<()> {
        self.read.clear();
        Ok(self.db.aside_anyway(repository::unlock_all(&mut self.connection)).await?)
    }

    /// Ends the session, and its locks.
    pub async fn close(self) {
        if let Err(error) = self.connection.close().await {
            tracing::debug!(%error, "the publisher's connection was lost before it was closed");
        }
    }
}
