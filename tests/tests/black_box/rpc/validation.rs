//! Instances against their type: the same verdict in every form, and as REST gives it.

use std::collections::BTreeMap;

use oms_proto::client::{
    ValidateLinkInstanceRequest, ValidateLinkInstancesRequest, ValidateObjectInstanceRequest,
    ValidateObjectInstancesRequest, Violation,
    validate_link_instance_request::{Data as LinkData, LinkType as OneLink},
    validate_link_instances_request,
    validate_object_instance_request::{Data, ObjectType as One},
    validate_object_instances_request::ObjectType as Many,
};
use oms_tests::{App, samples};
use proptest::prelude::*;
use prost_types::{ListValue, Struct, value::Kind};
use serde_json::{Map, Value, json};
use tonic::{Code, Request};

use super::{Clients, shapes::to_struct, values, wire::Failure};

type Violations = Vec<(String, String, String)>;

fn violations(found: &[Violation]) -> Violations {
    let mut found: Vec<_> =
        found.iter().map(|each| (each.pointer.clone(), each.code.clone(), each.message.clone())).collect();
    found.sort();
    found
}

fn of_rest(errors: &Value) -> Violations {
    let text = |error: &Value, key: &str| error[key].as_str().unwrap().to_owned();
    let errors = errors.as_array().unwrap().iter();
    let mut found: Vec<_> =
        errors.map(|error| (text(error, "pointer"), text(error, "code"), text(error, "message"))).collect();
    found.sort();
    found
}

fn one(name: &str, data: Data) -> ValidateObjectInstanceRequest {
    ValidateObjectInstanceRequest {
        object_type: Some(One::ObjectTypeName(name.to_owned())),
        version: None,
        data: Some(data),
    }
}

fn structure(json: &Value) -> Struct {
    to_struct(json.as_object().unwrap())
}

fn many(name: &str, instances: Vec<Struct>, instances_json: Vec<String>) -> ValidateObjectInstancesRequest {
    let object_type = Some(Many::ObjectTypeName(name.to_owned()));
    ValidateObjectInstancesRequest { object_type, version: None, instances, instances_json }
}

fn kind(kind: Kind) -> prost_types::Value {
    prost_types::Value { kind: Some(kind) }
}

/// An object type with every data type and every validator.
fn device() -> Value {
    json!({"name": "Device", "displayName": "Device", "properties": [
        {"name": "serial", "dataType": "STRING", "required": true,
            "validators": [{"type": "pattern", "value": "^[A-Z]+$"}, {"type": "minLength", "value": 2}, {"type": "maxLength", "value": 4}]},
        {"name": "load", "dataType": "NUMBER", "validators": [{"type": "min", "value": -1.5}, {"type": "max", "value": 100}]},
        {"name": "on", "dataType": "BOOLEAN", "required": true, "defaultValue": true},
        {"name": "built", "dataType": "DATE"},
        {"name": "seen", "dataType": "DATETIME"},
        {"name": "tags", "dataType": "ARRAY", "itemType": "STRING", "validators": [{"type": "maxLength", "value": 3}]},
        {"name": "readings", "dataType": "ARRAY", "itemType": "NUMBER", "validators": [{"type": "max", "value": 9}]},
        {"name": "place", "dataType": "OBJECT", "properties": [
            {"name": "room", "dataType": "STRING", "required": true}, {"name": "floor", "dataType": "NUMBER"},
        ]},
        {"name": "parts", "dataType": "ARRAY", "itemType": "OBJECT", "properties": [
            {"name": "id", "dataType": "NUMBER", "required": true},
        ]},
        {"name": "owner", "dataType": "REFERENCE"},
        {"name": "anything", "dataType": "OBJECT"},
    ]})
}

async fn app() -> App {
    let app = App::start().await;
    app.client("editor").post("object-types", &device()).expect(201).await;
    app
}

#[tokio::test]
async fn every_violation_is_named_by_whatever_the_type_is_named() {
    let app = app().await;
    let bad = json!({
        "serial": "a", "load": 101, "built": "2026-02-30", "seen": "now", "tags": ["ab", "abcd", 7], "readings": [1, 10],
        "place": {"floor": "1", "a/b~c": 1}, "parts": [{"id": 1}, {}, {"id": "2", "x": 0}], "owner": 7, "colour": "red",
    });
    let rest = app.client("viewer").post("object-types/Device/validate", &json!({"instance": bad})).expect(200).await;
    let expected = of_rest(&rest["errors"]);
    let pointers: Vec<&str> = expected.iter().map(|(pointer, ..)| pointer.as_str()).collect();
    for pointer in ["/tags/1", "/tags/2", "/readings/1", "/place/room", "/place/a~1b~0c", "/parts/1/id", "/parts/2/x"] {
        assert!(pointers.contains(&pointer), "{pointer} is not in {pointers:?}");
    }
    let id = app.client("viewer").get("object-types/Device").expect(200).await["id"].as_str().unwrap().to_owned();

    let mut client = Clients::of(&app.grpc(), "viewer").objects;
    for object_type in [One::ObjectTypeName("DEVICE".to_owned()), One::ObjectTypeId(id)] {
        for data in [Data::Instance(structure(&bad)), Data::InstanceJson(bad.to_string())] {
            for version in [None, Some(1)] {
                let object_type = Some(object_type.clone());
                let asked = ValidateObjectInstanceRequest { object_type, version, data: Some(data.clone()) };
                let verdict = client.validate_object_instance(asked).await.unwrap().into_inner();
                assert_eq!((verdict.valid, verdict.truncated), (false, false));
                assert_eq!(violations(&verdict.violations), expected);
            }
        }
    }
    let good = json!({"serial": "ABC", "load": 1.25, "seen": "2026-11-22T20:19:00Z", "place": {"room": "지하"}});
    for data in [Data::Instance(structure(&good)), Data::InstanceJson(good.to_string())] {
        let verdict = client.validate_object_instance(one("Device", data)).await.unwrap().into_inner();
        assert_eq!((verdict.valid, verdict.violations.len()), (true, 0));
    }
    let mut korean = Request::new(one("Device", Data::InstanceJson("{}".to_owned())));
    korean.metadata_mut().insert("accept-language", "ko".parse().unwrap());
    let verdict = client.validate_object_instance(korean).await.unwrap().into_inner();
    let message = &verdict.violations[0].message;
    assert!(message.chars().any(|c| ('가'..='힣').contains(&c)), "{message}");
}

#[tokio::test]
async fn an_instance_is_judged_by_the_version_that_is_named() {
    let app = app().await;
    app.client("editor").patch("object-types/Device", 1, &json!({"properties": []})).expect(200).await;
    let mut client = Clients::of(&app.grpc(), "viewer").objects;
    for (version, codes) in [(None, &["UNKNOWN_PROPERTY"][..]), (Some(2), &["UNKNOWN_PROPERTY"]), (Some(1), &[])] {
        let data = Data::InstanceJson(r#"{"serial": "AB"}"#.to_owned());
        let asked = ValidateObjectInstanceRequest { version, ..one("Device", data) };
        let verdict = client.validate_object_instance(asked).await.unwrap().into_inner();
        let found: Vec<_> = verdict.violations.iter().map(|each| each.code.as_str()).collect();
        assert_eq!(found, codes, "{version:?}");
    }
    let missing =
        ValidateObjectInstanceRequest { version: Some(3), ..one("Device", Data::InstanceJson("{}".to_owned())) };
    let failure = Failure::of(&client.validate_object_instance(missing).await.unwrap_err());
    assert_eq!((failure.code, failure.reason()), (Code::NotFound, "VERSION_NOT_FOUND"));
}

/// Instances that are right, wrong, or nearly right; their numbers are doubles.
fn instance() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        (-200..200_i64).prop_map(|number| json!(number)),
        (-9_007_199_254_740_992_i64..=9_007_199_254_740_992).prop_map(|number| json!(number)),
        any::<f64>().prop_filter("JSON has no others", |number| number.is_finite()).prop_map(|number| json!(number)),
        prop_oneof![Just(0.5), Just(-1.5), Just(-1.500_000_1), Just(100.0), Just(1e300), Just(-0.0)]
            .prop_map(|number: f64| json!(number)),
    ];
    let text = prop_oneof![
        "[A-Z]{0,5}",
        "[a-c]{0,4}",
        "\\PC{0,4}",
        "20(26|00)-0[1-3]-(01|28|29|30)",
        "2026-11-22T20:19:00(Z|\\+09:00|)",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(|flag| json!(flag)),
        number,
        text.prop_map(|text| json!(text))
    ];
    let keys = "(serial|load|on|built|seen|tags|readings|place|parts|owner|anything|room|floor|id|\\PC{0,2}|a/b~c)";
    let value = leaf.prop_recursive(3, 16, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys, inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    });
    // Half of the fields have a value that may well fit.
    let fitting = prop_oneof![
        "[A-C]{1,5}".prop_map(|text| ("serial".to_owned(), json!(text))),
        (-3..103_i64).prop_map(|number| ("load".to_owned(), json!(number))),
        "2026-0[1-3]-(01|29|30)".prop_map(|text| ("built".to_owned(), json!(text))),
        prop::collection::vec("[a-c]{2,4}", 0..3).prop_map(|list| ("tags".to_owned(), json!(list))),
        prop::collection::vec(7..11, 0..3).prop_map(|list| ("readings".to_owned(), json!(list))),
        ("(room|floor)", -1..2_i64).prop_map(|(key, floor)| ("place".to_owned(), json!({"room": "a", key: floor}))),
    ];
    let known = "(serial|load|on|built|seen|tags|readings|place|parts|owner|anything|colour)";
    let field = prop_oneof![fitting, (known, value)];
    prop::collection::vec(field, 0..8).prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

#[tokio::test]
async fn structures_and_texts_and_rest_agree_on_whatever_comes() {
    let app = app().await;
    let viewer = app.client("viewer");
    let mut client = Clients::of(&app.grpc(), "viewer").objects;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for instances in values(instance(), 2_000).chunks(1_000) {
        let rest = viewer.post("object-types/Device/validate", &json!({ "instances": instances })).expect(200).await;
        let structs = many("Device", instances.iter().map(structure).collect(), Vec::new());
        let by_struct = client.validate_object_instances(structs).await.unwrap().into_inner();
        let texts = many("Device", Vec::new(), instances.iter().map(Value::to_string).collect());
        let by_text = client.validate_object_instances(texts).await.unwrap().into_inner();
        assert_eq!((by_struct.valid, by_text.valid), (false, false));
        for (index, instance) in instances.iter().enumerate() {
            let of_rest_then = &rest["results"][index];
            for results in [&by_struct.results, &by_text.results] {
                let result = &results[index];
                assert_eq!(result.index, i32::try_from(index).unwrap());
                assert_eq!(Some(result.valid), of_rest_then["valid"].as_bool(), "{instance}");
                assert_eq!(violations(&result.violations), of_rest(&of_rest_then["errors"]), "{instance}");
            }
        }
        for instance in instances.iter().step_by(10) {
            let rest = viewer.post("object-types/Device/validate", &json!({ "instance": instance })).expect(200).await;
            for data in [Data::Instance(structure(instance)), Data::InstanceJson(instance.to_string())] {
                let verdict = client.validate_object_instance(one("Device", data)).await.unwrap().into_inner();
                assert_eq!(violations(&verdict.violations), of_rest(&rest["errors"]), "{instance}");
                for violation in verdict.violations {
                    *seen.entry(violation.code).or_default() += 1;
                }
            }
        }
    }
    assert!(seen.len() >= 8, "the instances were wrong in few ways only: {seen:?}");
}

#[tokio::test]
async fn a_thousand_instances_are_judged_and_no_more() {
    let app = app().await;
    let mut client = Clients::of(&app.grpc(), "viewer").objects;
    let given = |count: usize| -> Vec<Value> {
        (0..count).map(|n| if n % 2 == 0 { json!({"serial": "AB"}) } else { json!({"serial": 1}) }).collect()
    };
    for as_text in [false, true] {
        let asked = |count: usize| match as_text {
            false => many("Device", given(count).iter().map(structure).collect(), Vec::new()),
            true => many("Device", Vec::new(), given(count).iter().map(Value::to_string).collect()),
        };
        let verdict = client.validate_object_instances(asked(1_000)).await.unwrap().into_inner();
        assert_eq!((verdict.valid, verdict.truncated, verdict.results.len()), (false, false, 1_000));
        for (n, result) in verdict.results.iter().enumerate() {
            assert_eq!((result.index, result.valid), (i32::try_from(n).unwrap(), n % 2 == 0));
            assert_eq!(result.violations.len(), n % 2);
        }
        let failure = Failure::of(&client.validate_object_instances(asked(1_001)).await.unwrap_err());
        assert_eq!((failure.code, failure.reason()), (Code::InvalidArgument, "TOO_MANY_ITEMS"));
        assert_eq!(failure.fields(), [if as_text { "/instances_json" } else { "/instances" }]);
    }
    let none = client.validate_object_instances(many("Device", Vec::new(), Vec::new())).await.unwrap().into_inner();
    assert_eq!((none.valid, none.results.len(), none.truncated), (true, 0, false), "of none, none is wrong");
    let both = many("Device", vec![Struct::default()], vec!["{}".to_owned()]);
    let failure = Failure::of(&client.validate_object_instances(both).await.unwrap_err());
    assert_eq!((failure.code, failure.fields()), (Code::InvalidArgument, vec!["instances_json"]));
}

#[tokio::test]
async fn what_is_no_json_is_located() {
    let app = app().await;
    let mut client = Clients::of(&app.grpc(), "viewer").objects;
    for bad in [
        "",
        "{",
        "{} {}",
        "{'serial': 1}",
        "{\"load\": NaN}",
        "{\"load\": 1e999}",
        "\u{feff}{}",
        "{\"a\": \"\\ud800\"}",
    ] {
        let alone = one("Device", Data::InstanceJson(bad.to_owned()));
        let failure = Failure::of(&client.validate_object_instance(alone).await.unwrap_err());
        assert_eq!((failure.code, failure.fields()), (Code::InvalidArgument, vec!["/instance_json"]), "{bad:?}");
        let among = many("Device", Vec::new(), vec!["{}".to_owned(), bad.to_owned(), "7".to_owned(), bad.to_owned()]);
        let failure = Failure::of(&client.validate_object_instances(among).await.unwrap_err());
        assert_eq!(failure.fields(), ["/instances_json/1", "/instances_json/3"], "{bad:?}");
        assert!(failure.descriptions.iter().all(|text| text.contains("JSON")), "{failure:?}");
    }
    // JSON that is no object is an instance that is wrong, not a request that is.
    for (given, valid) in
        [("{\"serial\": \"AB\"}", true), ("7", false), ("null", false), ("[]", false), ("\"{}\"", false)]
    {
        let verdict = client.validate_object_instance(one("Device", Data::InstanceJson(given.to_owned()))).await;
        let verdict = verdict.unwrap().into_inner();
        assert_eq!(verdict.valid, valid, "{given}");
        assert!(valid || verdict.violations[0].pointer.is_empty(), "{given}: {verdict:?}");
    }
}

#[tokio::test]
async fn numbers_that_json_does_not_have_are_located() {
    let app = app().await;
    let mut client = Clients::of(&app.grpc(), "viewer").objects;
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let number = kind(Kind::NumberValue(number));
        let inner = Struct { fields: [("x".to_owned(), number.clone())].into() };
        let list = ListValue { values: vec![kind(Kind::BoolValue(true)), kind(Kind::StructValue(inner))] };
        let fields = [("load".to_owned(), number), ("a/b".to_owned(), kind(Kind::ListValue(list)))];
        let instance = Struct { fields: fields.into() };
        let alone = one("Device", Data::Instance(instance.clone()));
        let failure = Failure::of(&client.validate_object_instance(alone).await.unwrap_err());
        assert_eq!(failure.code, Code::InvalidArgument);
        let mut fields = failure.fields();
        fields.sort_unstable();
        assert_eq!(fields, ["/instance/a~1b/1/x", "/instance/load"]);
        let among = many("Device", vec![Struct::default(), instance], Vec::new());
        let failure = Failure::of(&client.validate_object_instances(among).await.unwrap_err());
        assert!(failure.fields().contains(&"/instances/1/load"), "{failure:?}");
    }
    // A value of no kind, as a client makes it that forgets, is null.
    let forgotten = Struct { fields: [("serial".to_owned(), prost_types::Value { kind: None })].into() };
    let by_struct = client.validate_object_instance(one("Device", Data::Instance(forgotten))).await.unwrap();
    let null = Data::InstanceJson(r#"{"serial": null}"#.to_owned());
    let by_text = client.validate_object_instance(one("Device", null)).await.unwrap();
    assert_eq!(by_struct.into_inner(), by_text.into_inner());
}

#[tokio::test]
async fn every_digit_of_a_text_counts() {
    let app = App::start().await;
    let limits = json!([{"name": "n", "dataType": "NUMBER", "validators": [{"type": "max", "value": 9_007_199_254_740_992_u64}]}]);
    let definition = json!({"name": "Exact", "displayName": "Exact", "properties": limits});
    app.client("editor").post("object-types", &definition).expect(201).await;
    let mut client = Clients::of(&app.grpc(), "viewer").objects;
    for (number, valid) in [
        ("9007199254740992", true),
        ("9007199254740993", false),
        ("18446744073709551615", false),
        ("-9223372036854775808", true),
    ] {
        let data = Data::InstanceJson(format!("{{\"n\": {number}}}"));
        let verdict = client.validate_object_instance(one("Exact", data)).await.unwrap().into_inner();
        assert_eq!(verdict.valid, valid, "{number}");
    }
}

#[tokio::test]
async fn an_answer_stays_small_however_much_is_wrong() {
    let app = App::with(|settings| settings.set("MAX_RESPONSE_BYTES", 100_000)).await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::object_type("Bare")).expect(201).await;
    editor.post("link-types", &samples::link_type("bares", "Bare", "Bare")).expect(201).await;
    let wrong = Value::Object((0..900).map(|n| (format!("{}{n}", "unknown".repeat(20)), json!(n))).collect());
    let mut clients = Clients::of(&app.grpc(), "viewer");
    let size = |violations: &[Violation]| -> usize {
        violations.iter().map(|each| each.pointer.len() + each.code.len() + each.message.len()).sum()
    };
    for data in [Data::Instance(structure(&wrong)), Data::InstanceJson(wrong.to_string())] {
        let verdict = clients.objects.validate_object_instance(one("Bare", data)).await.unwrap().into_inner();
        assert_eq!((verdict.valid, verdict.truncated), (false, true));
        assert!((100..900).contains(&verdict.violations.len()), "{}", verdict.violations.len());
        assert!(size(&verdict.violations) <= 100_000);
    }
    let texts = vec![wrong.to_string(), "{}".to_owned(), wrong.to_string(), wrong.to_string()];
    let asked = many("Bare", Vec::new(), texts.clone());
    let verdict = clients.objects.validate_object_instances(asked).await.unwrap().into_inner();
    let valid: Vec<_> = verdict.results.iter().map(|result| result.valid).collect();
    assert_eq!((valid, verdict.truncated), (vec![false, true, false, false], true), "what is left out is still judged");
    assert!(verdict.results.iter().map(|result| size(&result.violations)).sum::<usize>() <= 100_000);
    let asked = ValidateLinkInstancesRequest {
        link_type: Some(validate_link_instances_request::LinkType::LinkTypeName("bares".to_owned())),
        instances_json: texts,
        ..ValidateLinkInstancesRequest::default()
    };
    let of_links = clients.links.validate_link_instances(asked).await.unwrap().into_inner();
    assert_eq!((of_links.valid, of_links.truncated, of_links.results.len()), (false, true, 4));
}

#[tokio::test]
async fn links_are_judged_by_their_type() {
    let app = App::start().await;
    let editor = app.client("editor");
    editor.post("object-types", &samples::object_type("Order")).expect(201).await;
    let mut follows = samples::link_type("follows", "Order", "Order");
    follows["properties"] = json!([{"name": "weight", "dataType": "NUMBER", "required": true}]);
    let id = editor.post("link-types", &follows).expect(201).await["id"].as_str().unwrap().to_owned();
    let mut client = Clients::of(&app.grpc(), "viewer").links;
    for link_type in [OneLink::LinkTypeName("FOLLOWS".to_owned()), OneLink::LinkTypeId(id)] {
        for (given, pointers) in [(json!({"weight": 1}), &[][..]), (json!({"weigth": 1}), &["/weight", "/weigth"])] {
            for data in [LinkData::Instance(structure(&given)), LinkData::InstanceJson(given.to_string())] {
                let link_type = Some(link_type.clone());
                let asked = ValidateLinkInstanceRequest { link_type, version: Some(1), data: Some(data) };
                let verdict = client.validate_link_instance(asked).await.unwrap().into_inner();
                let found = violations(&verdict.violations);
                assert_eq!(found.iter().map(|(pointer, ..)| pointer.as_str()).collect::<Vec<_>>(), pointers);
                assert_eq!(verdict.valid, pointers.is_empty());
            }
        }
    }
    let asked = ValidateLinkInstanceRequest {
        link_type: Some(OneLink::LinkTypeName("Order".to_owned())),
        version: None,
        data: Some(LinkData::InstanceJson("{}".to_owned())),
    };
    let failure = Failure::of(&client.validate_link_instance(asked).await.unwrap_err());
    assert_eq!((failure.code, failure.reason()), (Code::NotFound, "LINK_TYPE_NOT_FOUND"));
}
