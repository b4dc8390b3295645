use serde_json::json;

use super::*;

fn found(value: &Value) -> Vec<Fault> {
    let mut faults = Faults::default();
    check_json(value, "/metadata", &mut faults);
    faults.into_vec()
}

#[test]
fn faults_stay_small_whatever_the_keys() {
    let key = "고".repeat(100_000);
    let faults = found(&json!({ &key: vec!["\0"; 1_000] }));
    let [Fault { location: Location::Pointer(pointer), kind }] = faults.as_slice() else { panic!("{faults:?}") };
    assert_eq!(*kind, FaultKind::TooLong { max: 256, actual: 100_000 });
    assert!(pointer.starts_with("/metadata/고고") && pointer.ends_with('…') && pointer.len() <= MAX_PLACE + 3);

    let mut nested = json!(vec!["\0"; 2_000]);
    for _ in 0..60 {
        nested = json!({ "k".repeat(256): nested });
    }
    assert!(found(&nested).iter().all(|fault| fault.location.to_string().len() <= MAX_PLACE + 3));
    let mut faults = Faults::default();
    let unknown = json!({ &key: 1 });
    Fields::of(&unknown, "", &mut faults).unwrap().finish(&mut faults);
    assert!(faults.into_vec()[0].location.to_string().len() <= MAX_PLACE + 3);
}

#[test]
fn nul_is_found_where_it_is() {
    let faults = found(&json!({"a/b": [1, "x\0", {"c\0": "\0", "d~": "\0"}]}));
    let places: Vec<_> = faults.iter().map(|fault| fault.location.to_string()).collect();
    assert_eq!(places, ["/metadata/a~1b/1", "/metadata/a~1b/2/c\u{fffd}", "/metadata/a~1b/2/d~0"]);
    assert!(faults.iter().all(|fault| fault.kind == FaultKind::Nul));
    assert_eq!(found(&json!({"k".repeat(256): {"": []}})), []);
}

#[test]
fn the_list_is_bounded() {
    assert_eq!(found(&json!(vec!["\0"; 3_000])).len(), MAX_FAULTS);
}
