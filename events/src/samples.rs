//! Events as they look in practice, and payloads to invoke the functions with by hand.

use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    ChangeType, ClaimCheck, Data, DatasetReference, EntityKind, Event, EventType, FieldChange, HeaderParts, LinkType,
    Metadata, ObjectType, Property, SCHEMA_VERSION, Validator,
};

/// The folder of the committed payloads.
pub const FOLDER: &str = "samples";

/// The topic that the samples are from.
const TOPIC: &str = "oms-events";

const CUSTOMER: Uuid = Uuid::from_u128(0x0197_6a3c_5e10_7b42_9c1d_4f0a_8e25_b701);
const ORDER: Uuid = Uuid::from_u128(0x0197_6a3c_5e11_7d08_8a6e_13c9_70d4_2f02);
const CUSTOMER_ORDERS: Uuid = Uuid::from_u128(0x0197_6a3c_5e12_7f31_b5f7_92ab_06e8_dd03);
const EMAIL: Uuid = Uuid::from_u128(0x0197_6a3c_5e13_7044_8d20_6cb1_3f97_aa04);
const ADDRESS: Uuid = Uuid::from_u128(0x0197_6a3c_5e14_71c6_a93b_e05d_42f8_1905);
const CITY: Uuid = Uuid::from_u128(0x0197_6a3c_5e15_7299_b8c4_07f2_d61a_5e06);
const TOTAL: Uuid = Uuid::from_u128(0x0197_6a3c_5e16_73ab_94e7_b28f_19c0_7d07);
const BUYER: Uuid = Uuid::from_u128(0x0197_6a3c_5e17_7450_a6f1_5d83_c7be_3408);
const TIER: Uuid = Uuid::from_u128(0x0197_6a3c_5e18_7562_8b0d_f416_e295_c809);

/// One event of each type, in the order of [`EventType::ALL`].
#[must_use]
pub fn events() -> Vec<Event> {
    EventType::ALL.iter().map(|&event_type| event(event_type)).collect()
}

/// An event of this type.
#[must_use]
pub fn event(event_type: EventType) -> Event {
    match event_type {
        EventType::ObjectTypeCreated => object(event_type, customer(1), Vec::new()),
        EventType::ObjectTypeUpdated => object(event_type, customer(2), customer_changes()),
        EventType::ObjectTypeDeleted => object(event_type, order(3), Vec::new()),
        EventType::ObjectTypeRestored => object(event_type, order(4), Vec::new()),
        EventType::LinkTypeCreated => link(event_type, 1, Vec::new()),
        EventType::LinkTypeUpdated => {
            let change = FieldChange::modified("displayName", json!("Orders"), json!("Orders of a customer"));
            link(event_type, 2, vec![change])
        }
        EventType::LinkTypeDeleted => link(event_type, 3, Vec::new()),
        EventType::LinkTypeRestored => link(event_type, 4, Vec::new()),
    }
}

/// An event that is too large to carry its type.
#[must_use]
pub fn claim_check() -> Event {
    let (entity_id, version) = (CUSTOMER, 3);
    let mut event = object(EventType::ObjectTypeUpdated, customer(version), Vec::new());
    event.id = Uuid::from_u128(0x0197_6a3d_1f00_7a00_8e1b_5c0d_2f64_9b20);
    event.metadata.position += 100;
    event.data.object_type = None;
    event.data.claim_check = Some(ClaimCheck {
        entity_kind: EntityKind::ObjectType,
        entity_id,
        version,
        href: format!("/api/v1/object-types/{entity_id}/versions/{version}"),
        bytes: 312_804,
    });
    event
}

/// The headers of an event's Kafka message.
#[must_use]
pub fn headers(event: &Event) -> Vec<(&'static str, String)> {
    crate::headers(&HeaderParts {
        id: event.id,
        event_type: event.event_type,
        entity_id: event.entity_id,
        timestamp: event.timestamp,
        correlation_id: event.correlation_id.as_deref(),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    })
}

/// The payloads by file name.
///
/// # Errors
///
/// None that a sample could cause.
pub fn payloads() -> serde_json::Result<Vec<(&'static str, Value)>> {
    Ok(vec![
        ("apigateway-v2.json", api_gateway()),
        ("kafka-message.json", kafka_message(&event(EventType::ObjectTypeUpdated))?),
        ("msk.json", msk()?),
        ("schedule.json", schedule()),
        ("sqs-poke.json", poke()),
    ])
}

fn kafka_message(event: &Event) -> serde_json::Result<Value> {
    let headers: Map<_, _> = headers(event).into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
    let (key, value) = (event.entity_id, serde_json::to_string(event)?);
    Ok(json!({ "topic": TOPIC, "key": key, "headers": headers, "value": value }))
}

/// Two events of one entity in a partition, in order, and one in another partition.
fn msk() -> serde_json::Result<Value> {
    let record = |partition: i32, offset: i64, event_type| {
        let event = event(event_type);
        let headers: Vec<_> =
            headers(&event).into_iter().map(|(name, text)| json!({ name: text.into_bytes() })).collect();
        Ok(json!({
            "topic": TOPIC, "partition": partition, "offset": offset,
            "timestamp": event.timestamp.timestamp_millis(), "timestampType": "CREATE_TIME",
            "key": BASE64_STANDARD.encode(event.entity_id.to_string()),
            "value": BASE64_STANDARD.encode(serde_json::to_string(&event)?),
            "headers": headers,
        }))
    };
    Ok(json!({
        "eventSource": "aws:kafka",
        "eventSourceArn": "arn:aws:kafka:eu-west-1:123456789012:cluster/oms/6f1c2d3e-0000-4000-8000-000000000001-1",
        "bootstrapServers": "b-1.oms.example.kafka.eu-west-1.amazonaws.com:9098",
        "records": {
            "oms-events-3": [
                record(3, 40, EventType::ObjectTypeCreated)?,
                record(3, 41, EventType::ObjectTypeUpdated)?,
            ],
            "oms-events-11": [record(11, 17, EventType::LinkTypeCreated)?],
        },
    }))
}

fn poke() -> Value {
    json!({ "Records": [{
        "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "body": "{}",
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1764057601250",
            "SenderId": "AROAEXAMPLEEXAMPLE:oms-rest",
            "ApproximateFirstReceiveTimestamp": "1764057601258",
        },
        "messageAttributes": {},
        "md5OfBody": "99914b932bd37a50b983c5e7c90ae93b",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:oms-poke",
        "awsRegion": "eu-west-1",
    }] })
}

fn schedule() -> Value {
    json!({
        "version": "0",
        "id": "8e2f1f3c-6f5a-4d0e-9f25-0f6f3f0a7c11",
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": "123456789012",
        "time": "2025-11-25T08:00:00Z",
        "region": "eu-west-1",
        "resources": ["arn:aws:scheduler:eu-west-1:123456789012:schedule/default/oms-outbox-publisher"],
        "detail": "{}",
    })
}

fn api_gateway() -> Value {
    let (host, path, agent) = ("abcdefghij.execute-api.eu-west-1.amazonaws.com", "/api/v1/events", "curl/8.5.0");
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "after=earliest&limit=10",
        "headers": {
            "accept": "application/json",
            // A token of `cargo xtask token` goes here.
            "authorization": "Bearer TOKEN",
            "host": host,
            "user-agent": agent,
            "x-forwarded-for": "192.0.2.1",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "queryStringParameters": { "after": "earliest", "limit": "10" },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abcdefghij",
            "domainName": host,
            "domainPrefix": "abcdefghij",
            "http": {
                "method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": agent,
            },
            "requestId": "U5Oblhn0DoEEMzg=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "25/Nov/2025:08:00:00 +0000",
            "timeEpoch": 1_764_057_600_000_u64,
        },
        "isBase64Encoded": false,
    })
}

fn object(event_type: EventType, object_type: ObjectType, changes: Vec<FieldChange>) -> Event {
    let (id, version, actor) = (object_type.id, object_type.version, object_type.updated_by.clone());
    let data = Data { object_type: Some(object_type), link_type: None, claim_check: None, version, actor, changes };
    envelope(event_type, id, data)
}

fn link(event_type: EventType, version: i32, changes: Vec<FieldChange>) -> Event {
    let link_type = customer_orders(version);
    let (id, actor) = (link_type.id, link_type.updated_by.clone());
    let data = Data { object_type: None, link_type: Some(link_type), claim_check: None, version, actor, changes };
    envelope(event_type, id, data)
}

fn envelope(event_type: EventType, entity_id: Uuid, data: Data) -> Event {
    // Its place among the types makes each sample's id and position its own.
    let number = (1_u8..).zip(EventType::ALL).find(|(_, known)| **known == event_type).map_or(0, |(number, _)| number);
    Event {
        id: Uuid::from_u128(0x0197_6a3c_7a00_7a00_8e1b_5c0d_2f64_9b00 + u128::from(number)),
        event_type,
        entity_id,
        actor: data.actor.clone(),
        timestamp: written(data.version),
        data,
        metadata: Metadata {
            tenant_id: "default".to_owned(),
            position: 1_040 + i64::from(number),
            epoch: 1,
            schema_version: SCHEMA_VERSION,
        },
        correlation_id: Some(format!("5b0f6b1e-2f1c-4c5e-9d3a-7c2b8a9e10{number:02}")),
    }
}

/// When a version was written: one each minute.
fn written(version: i32) -> DateTime<Utc> {
    DateTime::from_timestamp_nanos((1_764_057_600 + i64::from(version) * 60) * 1_000_000_000 + 250_123_000)
}

fn customer(version: i32) -> ObjectType {
    let mut email = property(EMAIL, "email", "E-mail", "STRING");
    email.required = true;
    email.unique = true;
    email.indexed = true;
    email.description = Some("Where invoices go.".to_owned());
    email.validators = vec![validator("maxLength", json!(254)), validator("pattern", json!("^[^@]+@[^@]+$"))];
    email.metadata = map(&[("pii", json!(true))]);
    let mut city = property(CITY, "city", "City", "STRING");
    city.required = true;
    let mut address = property(ADDRESS, "address", "Address", "OBJECT");
    address.properties = Some(vec![city]);
    let mut properties = vec![email, address];
    if version > 1 {
        properties.push(tier());
    }
    ObjectType {
        display_name: if version == 1 { "Customer" } else { "고객" }.to_owned(),
        description: Some("Who buys from us.".to_owned()),
        category: Some("sales".to_owned()),
        tags: vec!["core".to_owned(), "gdpr".to_owned()],
        base_datasets: vec![DatasetReference {
            dataset_rid: "ri.foundry.main.dataset.customers".to_owned(),
            name: "customers".to_owned(),
        }],
        metadata: map(&[("owner", json!("sales"))]),
        ..object_type(CUSTOMER, "Customer", properties, version)
    }
}

fn customer_changes() -> Vec<FieldChange> {
    let added = FieldChange {
        field: "properties.tier".to_owned(),
        old_value: None,
        new_value: Some(json!(tier())),
        change_type: ChangeType::Added,
    };
    vec![FieldChange::modified("displayName", json!("Customer"), json!("고객")), added]
}

fn order(version: i32) -> ObjectType {
    let mut buyer = property(BUYER, "buyer", "Buyer", "REFERENCE");
    buyer.required = true;
    buyer.reference_to = Some("Customer".to_owned());
    let properties = vec![property(TOTAL, "total", "Total", "NUMBER"), buyer];
    object_type(ORDER, "Order", properties, version)
}

fn customer_orders(version: i32) -> LinkType {
    LinkType {
        id: CUSTOMER_ORDERS,
        source: "Customer".to_owned(),
        source_object_type_id: CUSTOMER,
        target: "Order".to_owned(),
        target_object_type_id: ORDER,
        cardinality: "ONE_TO_MANY".to_owned(),
        name: "customerOrders".to_owned(),
        display_name: if version == 1 { "Orders" } else { "Orders of a customer" }.to_owned(),
        description: None,
        category: Some("sales".to_owned()),
        tags: vec!["core".to_owned()],
        properties: Vec::new(),
        base_datasets: Vec::new(),
        metadata: Map::new(),
        version,
        created_at: written(1),
        created_by: "ada".to_owned(),
        updated_at: written(version),
        updated_by: "ada".to_owned(),
    }
}

fn object_type(id: Uuid, name: &str, properties: Vec<Property>, version: i32) -> ObjectType {
    ObjectType {
        id,
        name: name.to_owned(),
        display_name: name.to_owned(),
        description: None,
        category: None,
        tags: Vec::new(),
        properties,
        base_datasets: Vec::new(),
        metadata: Map::new(),
        version,
        created_at: written(1),
        created_by: "ada".to_owned(),
        updated_at: written(version),
        updated_by: "ada".to_owned(),
    }
}

fn tier() -> Property {
    let mut tier = property(TIER, "tier", "Tier", "NUMBER");
    tier.default_value = Some(json!(1));
    tier.validators = vec![validator("min", json!(1)), validator("max", json!(5))];
    tier
}

fn property(id: Uuid, name: &str, display_name: &str, data_type: &str) -> Property {
    Property {
        id,
        name: name.to_owned(),
        display_name: display_name.to_owned(),
        data_type: data_type.to_owned(),
        required: false,
        unique: false,
        indexed: false,
        default_value: None,
        description: None,
        validators: Vec::new(),
        metadata: Map::new(),
        item_type: None,
        properties: None,
        reference_to: None,
    }
}

fn validator(validator_type: &str, value: Value) -> Validator {
    Validator { validator_type: validator_type.to_owned(), value }
}

fn map(entries: &[(&str, Value)]) -> Map<String, Value> {
    entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}
