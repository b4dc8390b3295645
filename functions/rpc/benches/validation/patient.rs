//! An object type of the size of a FHIR Patient with its extensions: 100 properties, and instances that have them all.

use serde_json::{Map, Value, json};

/// How many properties the type has, nested ones included.
pub(crate) const PROPERTIES: usize = 100;

/// What is measured beside the person, each a number with bounds.
const MEASURES: [(&str, u32); 16] = [
    ("heightCm", 272),
    ("weightKg", 635),
    ("bmi", 120),
    ("systolic", 300),
    ("diastolic", 200),
    ("heartRate", 300),
    ("breathRate", 100),
    ("bodyTemp", 46),
    ("glucose", 60),
    ("oxygen", 100),
    ("creatinine", 30),
    ("hemoglobin", 25),
    ("cholesterol", 20),
    ("painScore", 10),
    ("packYears", 200),
    ("apgarScore", 10),
];
const FLAGS: [&str; 8] =
    ["vegetarian", "smoker", "organDonor", "pacemaker", "diabetic", "pregnant", "veteran", "interpreter"];
const MOMENTS: [&str; 8] =
    ["admittedAt", "seenAt", "triagedAt", "calledAt", "measuredAt", "consentAt", "reviewedAt", "exportedAt"];

/// The type that references point to.
pub(crate) fn organization() -> Value {
    json!({ "name": "Organization", "displayName": "Organization" })
}

/// The type, as a client creates it.
pub(crate) fn definition() -> Value {
    let period = || object("period", vec![date("start"), date("end")]);
    let coding =
        || list("coding", "OBJECT", vec![text("system", 200), pattern("code", "^[^\\s]+$"), text("display", 120)]);
    let mut properties = vec![
        required(pattern("id", "^[A-Za-z0-9.-]{1,64}$")),
        pattern("language", "^[a-z]{2}(-[A-Z]{2})?$"),
        of("active", "BOOLEAN"),
        required(pattern("gender", "^(male|female|other|unknown)$")),
        required(date("birthDate")),
        of("deceased", "BOOLEAN"),
        number("birthOrder", 10),
        text("note", 500),
        text("recordNumber", 32),
        object(
            "meta",
            vec![text("versionId", 64), of("lastUpdated", "DATETIME"), text("source", 200), text("security", 64)],
        ),
        list(
            "identifier",
            "OBJECT",
            vec![
                pattern("use", "^[a-z]+$"),
                text("system", 200),
                required(text("value", 64)),
                period(),
                reference("assigner"),
            ],
        ),
        list(
            "name",
            "OBJECT",
            vec![
                pattern("use", "^[a-z]+$"),
                text("text", 200),
                required(text("family", 100)),
                list("given", "STRING", Vec::new()),
                list("prefix", "STRING", Vec::new()),
                period(),
            ],
        ),
        list(
            "telecom",
            "OBJECT",
            vec![
                pattern("system", "^(phone|fax|email|pager|url|sms|other)$"),
                required(pattern("value", "^[+0-9 ()-]{3,32}$|^[^@\\s]+@[^@\\s]+$")),
                pattern("use", "^[a-z]+$"),
                number("rank", 100),
            ],
        ),
        list(
            "address",
            "OBJECT",
            vec![
                pattern("use", "^[a-z]+$"),
                text("type", 20),
                text("text", 300),
                list("line", "STRING", Vec::new()),
                text("city", 100),
                text("district", 100),
                text("state", 100),
                pattern("postalCode", "^[0-9A-Z -]{3,10}$"),
                pattern("country", "^[A-Z]{2,3}$"),
                period(),
            ],
        ),
        object("maritalStatus", vec![coding(), text("text", 100)]),
        list(
            "contact",
            "OBJECT",
            vec![
                text("relationship", 64),
                text("family", 100),
                text("phone", 40),
                text("gender", 10),
                reference("organization"),
            ],
        ),
        list("communication", "OBJECT", vec![required(text("language", 35)), of("preferred", "BOOLEAN")]),
        reference("managingOrganization"),
        list("link", "OBJECT", vec![text("other", 64), text("type", 20)]),
    ];
    properties.extend(MEASURES.map(|(name, max)| number(name, max)));
    properties.extend(FLAGS.map(|name| of(name, "BOOLEAN")));
    properties.extend(MOMENTS.map(|name| of(name, "DATETIME")));
    assert_eq!(count(&properties), PROPERTIES, "the type is not of the size that the benchmark tells");
    json!({ "name": "Patient", "displayName": "Patient", "properties": properties })
}

/// The instances; the first of every `faulty` of them, if that is not 0, has three things wrong with it.
pub(crate) fn instances(count: u32, faulty: u32) -> Vec<Value> {
    (0..count).map(|number| instance(number, faulty > 0 && number.is_multiple_of(faulty))).collect()
}

fn instance(n: u32, wrong: bool) -> Value {
    let (day, family) = (n % 28 + 1, ["Nguyễn", "García", "김", "Okafor", "Smith"][n as usize % 5]);
    let period = json!({ "start": format!("2011-03-{day:02}"), "end": "2031-12-31" });
    let mut instance = json!({
        "id": format!("pat-{n:06}"),
        "language": "en-US",
        "active": true,
        "gender": if wrong { "n/a" } else { "female" },
        "birthDate": format!("19{:02}-07-{day:02}", n % 100),
        "deceased": false,
        "birthOrder": n % 3,
        "note": "Prefers calls in the morning.",
        "recordNumber": format!("MRN-{n}"),
        "meta": { "versionId": n.to_string(), "lastUpdated": "2026-11-22T20:19:00.123Z", "source": "urn:emr:7", "security": "R" },
        "identifier": [{
            "use": "usual", "system": "urn:oid:1.2.36.146.595", "value": format!("{:08}", n * 7919), "period": period,
            "assigner": "org-42",
        }],
        "name": [{
            "use": "official", "text": format!("Dr. Ada {family}"), "family": family, "given": ["Ada", "Maria"],
            "prefix": ["Dr."], "period": period,
        }],
        "telecom": [
            { "system": "phone", "value": format!("+1 555 {:07}", n * 31), "use": "mobile", "rank": 1 },
            { "system": "email", "value": format!("ada{n}@example.org"), "use": "home", "rank": 2 },
        ],
        "address": [{
            "use": "home", "type": "both", "text": format!("{n} Erewhon St, PleasantVille"), "line": [format!("{n} Erewhon St")],
            "city": "PleasantVille", "district": "Rainbow", "state": "Vic", "postalCode": "3999", "country": "AU",
            "period": period,
        }],
        "maritalStatus": { "coding": [{ "system": "urn:hl7:v3", "code": "M", "display": "Married" }], "text": "Married" },
        "contact": [{
            "relationship": "N", "family": family, "phone": "+33 237 998327", "gender": "male", "organization": "org-7",
        }],
        "communication": [{ "language": "en", "preferred": true }],
        "managingOrganization": "org-1",
        "link": [{ "other": format!("pat-{:06}", n + 1), "type": "seealso" }],
    });
    if let Some(fields) = instance.as_object_mut() {
        for (name, max) in MEASURES {
            fields.insert(name.to_owned(), json!(f64::from(n * 13 % (max * 10)) / 10.0));
        }
        fields.extend(FLAGS.map(|name| (name.to_owned(), json!(n.is_multiple_of(2)))));
        fields.extend(MOMENTS.map(|name| (name.to_owned(), json!(format!("2026-11-{day:02}T08:30:00+09:00")))));
        if wrong {
            fields.insert("painScore".to_owned(), json!(11));
            fields.insert("favouriteColour".to_owned(), json!("green"));
        }
    }
    instance
}

fn count(properties: &[Value]) -> usize {
    let nested = |property: &Value| property["properties"].as_array().map_or(0, |fields| count(fields));
    properties.iter().map(|property| 1 + nested(property)).sum()
}

fn of(name: &str, data_type: &str) -> Value {
    json!({ "name": name, "displayName": name, "dataType": data_type })
}

fn with(mut property: Value, more: Value) -> Value {
    if let (Some(fields), Value::Object(more)) = (property.as_object_mut(), more) {
        fields.extend::<Map<String, Value>>(more);
    }
    property
}

fn required(property: Value) -> Value {
    with(property, json!({ "required": true }))
}

fn date(name: &str) -> Value {
    of(name, "DATE")
}

fn text(name: &str, max: u32) -> Value {
    let validators = json!([{ "type": "minLength", "value": 1 }, { "type": "maxLength", "value": max }]);
    with(of(name, "STRING"), json!({ "validators": validators }))
}

fn pattern(name: &str, pattern: &str) -> Value {
    with(of(name, "STRING"), json!({ "validators": [{ "type": "pattern", "value": pattern }] }))
}

fn number(name: &str, max: u32) -> Value {
    let validators = json!([{ "type": "min", "value": 0 }, { "type": "max", "value": max }]);
    with(of(name, "NUMBER"), json!({ "validators": validators }))
}

fn reference(name: &str) -> Value {
    with(of(name, "REFERENCE"), json!({ "referenceTo": "Organization" }))
}

fn object(name: &str, fields: Vec<Value>) -> Value {
    with(of(name, "OBJECT"), json!({ "properties": fields }))
}

fn list(name: &str, item_type: &str, fields: Vec<Value>) -> Value {
    let list = with(of(name, "ARRAY"), json!({ "itemType": item_type }));
    if fields.is_empty() { list } else { with(list, json!({ "properties": fields })) }
}
