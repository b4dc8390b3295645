//! The validation of instances in the schema.

use async_graphql::SimpleObject;
use oms_core::{
    entity::{Verdict, Verdicts},
    fault::Fault,
};
use oms_edge::Locale;

/// What came of the validation of one instance.
#[derive(SimpleObject)]
pub(crate) struct ValidationResult {
    /// Whether nothing is wrong with it.
    valid: bool,
    /// What is wrong with it.
    errors: Vec<ValidationError>,
    /// Whether more is wrong than `errors` tells.
    truncated: bool,
}

/// Something that is wrong with an instance.
#[derive(SimpleObject)]
pub(crate) struct ValidationError {
    /// JSON Pointer of what is wrong, from the instance on.
    pointer: String,
    /// The public code of the fault.
    code: &'static str,
    /// What is wrong and what it should be, for people.
    message: String,
}

/// Each verdict in the words of the client's language.
pub(crate) fn results(verdicts: Verdicts, locale: Locale) -> Vec<ValidationResult> {
    let Verdicts { each, truncated } = verdicts;
    // Only the last ones had no room for all that is wrong with them.
    let first_cut = each.iter().rposition(|verdict| !verdict.faults.is_empty()).unwrap_or_default();
    let result = |(index, Verdict { valid, faults }): (usize, Verdict)| ValidationResult {
        valid,
        errors: faults.iter().map(|fault| error(fault, locale)).collect(),
        truncated: truncated && !valid && index >= first_cut,
    };
    each.into_iter().enumerate().map(result).collect()
}

fn error(fault: &Fault, locale: Locale) -> ValidationError {
    ValidationError {
        pointer: fault.location.as_str().to_owned(),
        code: fault.kind.code().as_str(),
        message: locale.fault(&fault.kind),
    }
}
