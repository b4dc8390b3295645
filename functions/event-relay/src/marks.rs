//! Marks in DynamoDB: how far each entity has been relayed.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use aws_sdk_dynamodb::{
    Client,
    error::{BuildError, SdkError},
    operation::update_item::UpdateItemError,
    types::{AttributeValue, KeysAndAttributes, TransactWriteItem, Update},
};

use crate::{
    config::CALLS_IN_FLIGHT,
    gate::{CallError, Gate, back_off, side_by_side},
    record::Place,
};

/// The most keys of one `BatchGetItem`.
const MAX_KEYS: usize = 100;

/// The most actions of one `TransactWriteItems`.
const MAX_ACTIONS: usize = 100;

/// How often keys that were left unread are asked for again.
const READ_ATTEMPTS: u32 = 5;

/// How long a mark stays. Kafka keeps records for less, so nothing that old comes again.
const LIFETIME: Duration = Duration::from_secs(14 * 86_400);

type Item = HashMap<String, AttributeValue>;

/// The table of marks, for one batch.
pub(crate) struct Marks<'a> {
    pub(crate) client: &'a Client,
    pub(crate) table: &'a str,
    pub(crate) gate: Gate<'a>,
}

/// A mark to move to.
pub(crate) struct Move<'a> {
    pub(crate) entity: &'a str,
    pub(crate) place: Place,
    pub(crate) position: i64,
}

impl Marks<'_> {
    /// The marks of entities, none where nothing was relayed yet. An entity that isn't in the answer could not be read.
    pub(crate) async fn read(&self, entities: &[&str]) -> HashMap<String, Option<Place>> {
        let chunks = entities.chunks(MAX_KEYS).map(|chunk| self.read_chunk(chunk)).collect();
        side_by_side(chunks).await.into_iter().flatten().collect()
    }

    async fn read_chunk(&self, entities: &[&str]) -> HashMap<String, Option<Place>> {
        let mut marks: HashMap<String, Option<Place>> = HashMap::new();
        let mut left: Vec<Item> =
            entities.iter().map(|&entity| Item::from([("entity".to_owned(), text(entity))])).collect();
        let mut unreadable = Vec::new();
        for attempt in 0..READ_ATTEMPTS {
            if attempt > 0 {
                back_off(attempt).await;
            }
            let Ok((items, unread)) = self.get(&left).await else { return marks };
            for item in items {
                match read(&item) {
                    Some((entity, place)) => {
                        marks.insert(entity.to_owned(), Some(place));
                    }
                    None => {
                        tracing::error!(?item, "a mark can't be read");
                        unreadable.extend(entity_of(&item).map(str::to_owned));
                    }
                }
            }
            // Asked for and not left over: what has no item has no mark.
            for entity in left.iter().filter(|key| !unread.contains(key)).filter_map(entity_of) {
                if !unreadable.iter().any(|known| known == entity) {
                    marks.entry(entity.to_owned()).or_insert(None);
                }
            }
            left = unread;
            if left.is_empty() {
                return marks;
            }
        }
        tracing::warn!(keys = left.len(), "DynamoDB leaves marks unread");
        marks
    }

    async fn get(&self, keys: &[Item]) -> Result<(Vec<Item>, Vec<Item>), CallError> {
        // A stale mark would let a repeat through.
        let wanted = KeysAndAttributes::builder().set_keys(Some(keys.to_vec())).consistent_read(true).build();
        let wanted = wanted.map_err(|error| CallError::Refused(error.to_string()))?;
        let call = self.client.batch_get_item().request_items(self.table, wanted);
        let mut answer = self.gate.call(call.send()).await.inspect_err(log_refusal)?;
        let items = answer.responses.as_mut().and_then(|tables| tables.remove(self.table)).unwrap_or_default();
        let unread = answer.unprocessed_keys.as_mut().and_then(|tables| tables.remove(self.table));
        Ok((items, unread.map(|unread| unread.keys).unwrap_or_default()))
    }

    /// Moves marks; says of each, in order, whether it is there now. A mark that is further already stays. A few go side by
    /// side. Many go by the hundred: a transaction costs what two writes of each mark do, and a hundredth of the calls.
    pub(crate) async fn write(&self, moves: &[Move<'_>]) -> Vec<bool> {
        if moves.len() <= CALLS_IN_FLIGHT {
            return self.write_each(moves).await;
        }
        let chunks: Vec<&[Move<'_>]> = moves.chunks(MAX_ACTIONS).collect();
        let answers = side_by_side(chunks.iter().map(|chunk| self.write_together(chunk)).collect()).await;
        let mut written = Vec::with_capacity(moves.len());
        for (chunk, answer) in chunks.into_iter().zip(answers) {
            match answer {
                Some(all) => written.resize(written.len() + chunk.len(), all),
                None => written.extend(self.write_each(chunk).await),
            }
        }
        written
    }

    async fn write_each(&self, moves: &[Move<'_>]) -> Vec<bool> {
        side_by_side(moves.iter().map(|next| self.write_one(next)).collect()).await
    }

    /// All of them at once; whether they are there now. None when DynamoDB cancels it, since one of them is further already, or
    /// written by somebody else at the moment, or at fault: then each has to go alone.
    async fn write_together(&self, moves: &[Move<'_>]) -> Option<bool> {
        let actions = moves.iter().map(|next| {
            let update = Update::builder()
                .table_name(self.table)
                .key("entity", text(next.entity))
                .update_expression(MOVE)
                .condition_expression(IS_BEHIND)
                .set_expression_attribute_names(Some(names()))
                .set_expression_attribute_values(Some(next.values()));
            Ok(TransactWriteItem::builder().update(update.build()?).build())
        });
        let actions = actions.collect::<Result<Vec<_>, BuildError>>().ok()?;
        let call = self.client.transact_write_items().set_transact_items(Some(actions));
        let written = self.gate.call(async {
            match call.send().await {
                Err(SdkError::ServiceError(error)) if error.err().is_transaction_canceled_exception() => Ok(false),
                answer => answer.map(|_| true),
            }
        });
        match written.await {
            Ok(true) => Some(true),
            Ok(false) | Err(CallError::Refused(_)) => None,
            Err(CallError::Failed) => Some(false),
        }
    }

    async fn write_one(&self, next: &Move<'_>) -> bool {
        let call = self
            .client
            .update_item()
            .table_name(self.table)
            .key("entity", text(next.entity))
            .update_expression(MOVE)
            .condition_expression(IS_BEHIND)
            .set_expression_attribute_names(Some(names()))
            .set_expression_attribute_values(Some(next.values()));
        let written = self.gate.call(async {
            match call.send().await {
                Err(SdkError::ServiceError(error)) if is_further(error.err()) => Ok(()),
                answer => answer.map(drop),
            }
        });
        written.await.inspect_err(log_refusal).is_ok()
    }
}

const MOVE: &str = "SET #epoch = :epoch, #version = :version, #position = :position, #expires = :expires";

const IS_BEHIND: &str = "attribute_not_exists(#entity) OR #epoch < :epoch OR (#epoch = :epoch AND #version < :version)";

fn names() -> HashMap<String, String> {
    let names = ["#entity", "#epoch", "#version", "#position"].map(|name| (name.to_owned(), name[1..].to_owned()));
    names.into_iter().chain([("#expires".to_owned(), "expiresAt".to_owned())]).collect()
}

impl Move<'_> {
    fn values(&self) -> Item {
        let expires = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() + LIFETIME;
        Item::from([
            (":epoch".to_owned(), number(self.place.epoch)),
            (":version".to_owned(), number(self.place.version)),
            (":position".to_owned(), number(self.position)),
            (":expires".to_owned(), AttributeValue::N(expires.as_secs().to_string())),
        ])
    }
}

fn is_further(error: &UpdateItemError) -> bool {
    error.is_conditional_check_failed_exception()
}

/// Keys and numbers are ours, so a refusal is a table of another shape, which somebody has to mend.
fn log_refusal(error: &CallError) {
    if let CallError::Refused(error) = error {
        tracing::error!(error, "DynamoDB refuses a call for marks");
    }
}

fn read(item: &Item) -> Option<(&str, Place)> {
    let number = |name: &str| item.get(name)?.as_n().ok()?.parse().ok();
    Some((entity_of(item)?, Place { epoch: number("epoch")?, version: number("version")? }))
}

fn entity_of(item: &Item) -> Option<&str> {
    item.get("entity")?.as_s().ok().map(String::as_str)
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
