//! The check of templates finds what it is there for: one fault in a template that passes without it.

#![expect(clippy::unwrap_used, reason = "Clippy takes what tests call for no part of them")]

use std::fs;
use std::path::PathBuf;

use xtask::{lint, workspace};

/// A queue as the templates have them.
const GOOD: &str = "AWSTemplateFormatVersion: '2010-09-09'
Description: One queue
Resources:
  Queue:
    Type: AWS::SQS::Queue
    Properties:
      KmsMasterKeyId: alias/aws/sqs
";

/// Whether a folder with this template passes.
fn passes(name: &str, template: &str) -> bool {
    let folder: PathBuf = std::env::temp_dir().join(format!("oms-templates-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("template.yaml"), template).unwrap();
    let passes = lint::templates(&workspace::root().unwrap(), &folder).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    passes
}

#[test]
fn a_template_without_a_fault_passes() {
    assert!(passes("good", GOOD));
}

#[test]
fn a_property_that_does_not_exist_fails() {
    assert!(!passes("property", &GOOD.replace("KmsMasterKeyId: alias/aws/sqs", "Encrypted: true")));
}

#[test]
fn a_parameter_that_nothing_uses_is_a_warning_and_fails() {
    assert!(!passes("parameter", &GOOD.replace("Resources:", "Parameters:\n  Unused: {Type: String}\nResources:")));
}

#[test]
fn what_is_not_encrypted_fails_unless_the_resource_says_why() {
    let open = GOOD.replace("KmsMasterKeyId: alias/aws/sqs", "SqsManagedSseEnabled: false");
    assert!(!passes("open", &open));
    let reason = "    Metadata:\n      checkov:\n        skip: [{ id: CKV_AWS_27, comment: It only carries the time of day }]\n    Properties:";
    assert!(passes("excused", &open.replace("    Properties:", reason)));
}
