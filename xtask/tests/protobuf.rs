//! A change of the .proto files that breaks clients is noticed. Needs buf, which `cargo xtask test` installs.

#![expect(clippy::unwrap_used, reason = "Clippy takes what tests call for no part of them")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use xtask::{lint, workspace};

const FILE: &str = "openfoundry/oms/v1/oms.proto";

/// A copy of `proto`, gone with the value.
struct Copy(PathBuf);

impl Copy {
    fn new(name: &str) -> Self {
        let copy = std::env::temp_dir().join(format!("oms-proto-{name}-{}", std::process::id()));
        let copied = Command::new("cp").arg("-R").arg(workspace::root().unwrap().join("proto")).arg(&copy).status();
        assert!(copied.unwrap().success());
        Self(copy)
    }

    /// Changes the file, which must have what is changed.
    fn change(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.0.join(FILE)).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(self.0.join(FILE), text.replacen(from, to, 1)).unwrap();
    }

    /// What the lint tells somebody to do who wants the change.
    fn accept(&self) {
        fs::copy(self.0.join(FILE), self.0.join("baseline").join(FILE)).unwrap();
    }

    fn passes(&self) -> bool {
        lint::protobuf(&workspace::root().unwrap(), &self.0).unwrap()
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_breaks_clients_fails_until_it_is_accepted() {
    for (name, from, to) in [
        ("number", "string display_name = 3;", "string display_name = 33;"),
        ("type", "int32 page_size = 1;", "string page_size = 1;"),
        ("stream", "returns (stream LinkTypeEvent)", "returns (LinkTypeEvent)"),
        ("value", "  // A list.\n  DATA_TYPE_ARRAY = 6;\n", ""),
    ] {
        let copy = Copy::new(name);
        copy.change(from, to);
        assert!(!copy.passes(), "{name}");
        copy.accept();
        assert!(copy.passes(), "{name}: nothing else is wrong with it");
    }
}

#[test]
fn what_clients_need_not_know_passes() {
    let copy = Copy::new("addition");
    assert!(copy.passes(), "as it is");
    copy.change(
        "  // By whom.\n  string created_by = 5;\n",
        "  // By whom.\n  string created_by = 5;\n  // More.\n  string more = 6;\n",
    );
    assert!(copy.passes(), "with another field");
}

#[test]
fn what_has_no_comment_fails() {
    let copy = Copy::new("comment");
    copy.change("  // For people; empty when there is none.\n", "");
    assert!(!copy.passes());
}
