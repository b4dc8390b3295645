//! The committed documents are what the types generate.

use std::{collections::BTreeMap, fs, path::Path};

use oms_events::{EventType, asyncapi, samples, schema};

#[test]
fn the_committed_documents_are_the_generated_ones() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut generated = BTreeMap::from([(asyncapi::FILE.to_owned(), asyncapi::document())]);
    for &event_type in EventType::ALL {
        generated.insert(format!("{}/{}", schema::FOLDER, schema::file_name(event_type)), schema::of(event_type));
    }
    for (name, payload) in samples::payloads().unwrap() {
        generated.insert(format!("{}/{name}", samples::FOLDER), payload);
    }
    let generated: BTreeMap<_, _> =
        generated.into_iter().map(|(path, document)| (path, schema::to_text(&document))).collect();
    let folders = [schema::FOLDER, samples::FOLDER];
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        for folder in folders {
            let _ = fs::remove_dir_all(root.join(folder));
            fs::create_dir(root.join(folder)).unwrap();
        }
        for (path, text) in &generated {
            fs::write(root.join(path), text).unwrap();
        }
    }
    let mut committed = vec![asyncapi::FILE.to_owned()];
    for folder in folders {
        let files = fs::read_dir(root.join(folder)).into_iter().flatten();
        committed.extend(files.map(|file| format!("{folder}/{}", file.unwrap().file_name().display())));
    }
    committed.sort();
    assert_eq!(committed, generated.keys().cloned().collect::<Vec<_>>(), "files in events/; run `cargo xtask prepare`");
    for (path, text) in generated {
        let same = fs::read_to_string(root.join(&path)).unwrap_or_default() == text;
        assert!(same, "events/{path} is out of date: run `cargo xtask prepare` and look at what changed");
    }
}
