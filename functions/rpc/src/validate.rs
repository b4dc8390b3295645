//! Validation: instances out of requests, and what is said of them.

use buffa_types::google::protobuf::__buffa::view::{ListValueView, StructView, ValueView, oneof::value::Kind};
use oms_core::{
    entity::{MAX_INSTANCES, Service, Store, Verdict, Verdicts},
    error::{Code, Error},
    fault::{Fault, FaultKind},
    input::{Faults, step},
    name::TypeKey,
};
use oms_edge::Locale;
use oms_proto::server::v1 as pb;
use serde_json::{Map, Number, Value};

use crate::call::{Call, version};

/// Instances as they came.
pub(crate) enum Given<'a> {
    /// As structures.
    Structs(Vec<&'a StructView<'a>>),
    /// As JSON texts.
    Texts(Vec<&'a str>),
}

impl Given<'_> {
    /// The instances as JSON, each made when its turn comes; `at` names the field of each, for what can't be read.
    fn read(&self, at: impl Fn(usize) -> String + Send, faults: &mut Faults) -> impl Iterator<Item = Value> + Send {
        let (structs, texts) = match self {
            Self::Structs(structs) => (structs.as_slice(), [].as_slice()),
            Self::Texts(texts) => ([].as_slice(), texts.as_slice()),
        };
        (0..structs.len() + texts.len()).map(move |index| match (structs.get(index), texts.get(index)) {
            (Some(given), _) => Value::Object(object(given, &|| at(index), faults)),
            (None, text) => serde_json::from_str(text.copied().unwrap_or_default()).unwrap_or_else(|_| {
                faults.push(at(index), FaultKind::Malformed { expected: "JSON" });
                Value::Null
            }),
        })
    }

    /// Judges the instances. What can't be read is told before anything else that is wrong.
    async fn judge<E: Store>(
        &self,
        service: &Service<E>,
        call: &Call,
        key: Result<TypeKey, Error>,
        number: Option<i32>,
        at: impl Fn(usize) -> String + Send,
    ) -> Result<Verdicts, Error> {
        let key = key?;
        let mut faults = Faults::default();
        let verdicts = {
            let mut instances = self.read(at, &mut faults);
            let verdicts = service.validate_each(&call.context, &key, number, &mut instances).await;
            instances.for_each(drop);
            verdicts
        };
        faults.finish(Code::InvalidRequest)?;
        verdicts
    }
}

/// Judges one instance, given either as a structure or as a text.
pub(crate) async fn one<E: Store>(
    service: &Service<E>,
    call: &Call,
    key: Result<TypeKey, Error>,
    number: Option<i32>,
    given: Option<Given<'_>>,
) -> Result<Verdicts, Error> {
    let mut faults = Faults::default();
    check_version(number, &mut faults);
    if given.is_none() {
        faults.add(Fault::of_parameter("instance", FaultKind::Required));
    }
    faults.finish(Code::InvalidRequest)?;
    let given = given.unwrap_or(Given::Texts(Vec::new()));
    let field = if matches!(given, Given::Structs(_)) { "/instance" } else { "/instance_json" };
    given.judge(service, call, key, number, |_| field.to_owned()).await
}

/// Judges many instances, given either as structures or as texts.
pub(crate) async fn many<E: Store>(
    service: &Service<E>,
    call: &Call,
    key: Result<TypeKey, Error>,
    number: Option<i32>,
    structs: Vec<&StructView<'_>>,
    texts: Vec<&str>,
) -> Result<Verdicts, Error> {
    let mut faults = Faults::default();
    check_version(number, &mut faults);
    if !structs.is_empty() && !texts.is_empty() {
        faults.add(Fault::of_parameter("instances_json", FaultKind::Excludes { other: "instances" }));
    }
    let (given, field) = if texts.is_empty() {
        (Given::Structs(structs), "/instances")
    } else {
        (Given::Texts(texts), "/instances_json")
    };
    let actual = match &given {
        Given::Structs(structs) => structs.len(),
        Given::Texts(texts) => texts.len(),
    };
    if actual > MAX_INSTANCES {
        faults.push(field, FaultKind::TooMany { max: MAX_INSTANCES, actual });
    }
    faults.finish(Code::InvalidRequest)?;
    given.judge(service, call, key, number, |index| step(field, index)).await
}

fn check_version(number: Option<i32>, faults: &mut Faults) {
    if let Some(number) = number {
        version("version", number, faults);
    }
}

fn object(given: &StructView<'_>, at: &dyn Fn() -> String, faults: &mut Faults) -> Map<String, Value> {
    let mut map = Map::new();
    for (key, each) in given.fields.iter() {
        map.insert((*key).to_owned(), value(each, &|| step(&at(), key), faults));
    }
    map
}

fn list(given: &ListValueView<'_>, at: &dyn Fn() -> String, faults: &mut Faults) -> Vec<Value> {
    given.values.iter().enumerate().map(|(index, each)| value(each, &|| step(&at(), index), faults)).collect()
}

fn value(given: &ValueView<'_>, at: &dyn Fn() -> String, faults: &mut Faults) -> Value {
    match &given.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(flag)) => Value::Bool(*flag),
        Some(Kind::StringValue(text)) => Value::String((*text).to_owned()),
        Some(Kind::NumberValue(double)) => number(*double).map(Value::Number).unwrap_or_else(|| {
            faults.push(at(), FaultKind::Malformed { expected: "a finite number" });
            Value::Null
        }),
        Some(Kind::StructValue(given)) => Value::Object(object(given, at, faults)),
        Some(Kind::ListValue(given)) => Value::Array(list(given, at, faults)),
    }
}

/// Whole numbers are whole again; JSON has no others than finite ones.
fn number(double: f64) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if double.fract() == 0.0 && double.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and within 2^53")]
        return Some(Number::from(double as i64));
    }
    Number::from_f64(double)
}

/// What an answer has room for.
pub(crate) struct Room {
    left: usize,
    /// Whether something was left out.
    pub(crate) truncated: bool,
}

impl Room {
    pub(crate) fn new(max_bytes: usize, verdicts: &Verdicts) -> Self {
        Self { left: max_bytes.min(3 * 1024 * 1024), truncated: verdicts.truncated }
    }

    /// What is wrong, as far as there is room.
    pub(crate) fn violations(&mut self, locale: Locale, faults: &[Fault]) -> Vec<pb::Violation> {
        let mut violations = Vec::with_capacity(faults.len());
        for fault in faults {
            let violation = pb::Violation {
                pointer: fault.location.as_str().to_owned(),
                code: fault.kind.code().as_str().to_owned(),
                message: locale.fault(&fault.kind),
                ..pb::Violation::default()
            };
            let bytes = violation.pointer.len() + violation.code.len() + violation.message.len() + 16;
            if bytes > self.left {
                self.truncated = true;
                break;
            }
            self.left -= bytes;
            violations.push(violation);
        }
        violations
    }

    /// What is said of many.
    pub(crate) fn results(&mut self, locale: Locale, verdicts: &[Verdict]) -> Vec<pb::InstanceResult> {
        let result = |(index, verdict): (usize, &Verdict)| pb::InstanceResult {
            index: i32::try_from(index).unwrap_or(i32::MAX),
            valid: verdict.valid,
            violations: self.violations(locale, &verdict.faults),
            ..pb::InstanceResult::default()
        };
        verdicts.iter().enumerate().map(result).collect()
    }
}

#[cfg(test)]
mod tests {
    use buffa::{Message, MessageView};
    use proptest::prelude::*;

    use super::*;
    use crate::message;

    /// JSON whose numbers are doubles.
    fn json() -> impl Strategy<Value = Value> {
        let double = any::<f64>().prop_filter_map("JSON has no others", Number::from_f64);
        let whole = (-9_007_199_254_740_992_i64..=9_007_199_254_740_992).prop_map(Number::from);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            prop_oneof![double, whole].prop_map(Value::Number),
            any::<String>().prop_map(Value::String),
        ];
        leaf.prop_recursive(6, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                prop::collection::vec((any::<String>(), inner), 0..5)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// The value as it arrives when it is sent as what the services answer.
    fn sent_back(json: &Value) -> (Value, Faults) {
        let bytes = message::value(json).encode_to_vec();
        let mut faults = Faults::default();
        let view = ValueView::decode_view(&bytes).unwrap();
        (value(&view, &|| "/instance".to_owned(), &mut faults), faults)
    }

    /// Doubles that are whole are integers again.
    fn with_whole_numbers(json: Value) -> Value {
        match json {
            Value::Number(given) => Value::Number(given.as_f64().and_then(number).unwrap_or(given)),
            Value::Array(items) => items.into_iter().map(with_whole_numbers).collect(),
            Value::Object(map) => {
                Value::Object(map.into_iter().map(|(key, each)| (key, with_whole_numbers(each))).collect())
            }
            other => other,
        }
    }

    proptest! {
        #[test]
        fn what_is_answered_can_be_sent_back(json in json()) {
            let (back, faults) = sent_back(&json);
            prop_assert!(faults.finish(Code::InvalidRequest).is_ok());
            prop_assert_eq!(back, with_whole_numbers(json));
        }

        #[test]
        fn a_double_is_the_same_number(double in any::<f64>()) {
            match number(double) {
                Some(number) => prop_assert_eq!(number.as_f64(), Some(double)),
                None => prop_assert!(!double.is_finite()),
            }
        }

        #[test]
        fn no_answer_is_nested_more_deeply_than_clients_read(depth in 0_usize..100) {
            let deep = (0..depth).fold(Value::Null, |inner, _| Value::Object([("k".to_owned(), inner)].into_iter().collect()));
            let (back, _) = sent_back(&deep);
            let text = back.to_string();
            prop_assert!(text.matches("{\"k\"").count() <= 24, "{}", text);
            let (mut back, mut wanted) = (&back, &deep);
            while let (Value::Object(inner), Value::Object(inner_wanted)) = (back, wanted) {
                (back, wanted) = (&inner["k"], &inner_wanted["k"]);
            }
            let rest = back.as_str().map_or_else(|| back.clone(), |text| serde_json::from_str(text).unwrap());
            prop_assert_eq!(&rest, wanted, "what is deeper comes as its text");
        }
    }

    #[test]
    fn numbers_that_json_does_not_have_are_faults_in_their_place() {
        use buffa_types::google::protobuf::{Value as PbValue, value};
        for double in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut list = message::value(&serde_json::json!([1, { "a/b": 1 }]));
            let Some(value::Kind::ListValue(items)) = &mut list.kind else { panic!("a list") };
            let Some(value::Kind::StructValue(inner)) = &mut items.values[1].kind else { panic!("a structure") };
            let number = PbValue { kind: Some(value::Kind::NumberValue(double)), ..PbValue::default() };
            inner.fields.insert("a/b".to_owned(), number);
            let bytes = list.encode_to_vec();
            let mut faults = Faults::default();
            super::value(&ValueView::decode_view(&bytes).unwrap(), &|| "/instance".to_owned(), &mut faults);
            let Err(Error::Invalid { faults, .. }) = faults.finish(Code::InvalidRequest) else { panic!("no fault") };
            let places: Vec<_> = faults.iter().map(|fault| fault.location.as_str()).collect();
            assert_eq!(places, ["/instance/1/a~1b"]);
        }
    }
}
