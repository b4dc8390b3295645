//! Which types a list shows, and in which order.

use async_graphql::{ID, InputObject};
use oms_core::{
    entity::Filter,
    error::{Code, Result},
    input::{Faults, check_text, step},
    name::TypeKey,
    page::Sort,
};

use super::scalar::{Cardinality, SortDirection, SortKey};

/// The most tags of a filter.
const MAX_TAGS: usize = 100;

/// Which object types; all conditions must hold.
#[derive(Default, InputObject)]
pub(crate) struct ObjectTypeFilter {
    /// Of this category.
    category: Option<String>,
    /// With at least one of these tags.
    any_tags: Option<Vec<String>>,
    /// With all of these tags.
    all_tags: Option<Vec<String>>,
}

/// Which link types; all conditions must hold.
#[derive(Default, InputObject)]
pub(crate) struct LinkTypeFilter {
    #[graphql(flatten)]
    definition: ObjectTypeFilter,
    /// That start at this object type: its id or name.
    source: Option<ID>,
    /// That end at this object type: its id or name.
    target: Option<ID>,
    /// That start or end at this object type: its id or name.
    object_type: Option<ID>,
    /// Of this cardinality.
    cardinality: Option<Cardinality>,
}

/// In which order.
#[derive(Clone, Copy, InputObject)]
pub(crate) struct SortInput {
    /// By what.
    #[graphql(default_with = "SortKey::Name")]
    by: SortKey,
    /// In which direction.
    #[graphql(default_with = "SortDirection::Asc")]
    direction: SortDirection,
}

impl From<SortInput> for Sort {
    fn from(input: SortInput) -> Self {
        Self { by: input.by.into(), descending: input.direction == SortDirection::Desc }
    }
}

impl ObjectTypeFilter {
    /// Checks what a client asks for.
    pub(crate) fn read(self) -> Result<Filter> {
        LinkTypeFilter { definition: self, ..LinkTypeFilter::default() }.read()
    }
}

impl LinkTypeFilter {
    /// Checks what a client asks for.
    pub(crate) fn read(self) -> Result<Filter> {
        let mut faults = Faults::default();
        let ObjectTypeFilter { category, any_tags, all_tags } = self.definition;
        let filter = Filter {
            category: text(category, "/filter/category", 64, &mut faults),
            any_tags: tags(any_tags, "/filter/anyTags", &mut faults),
            all_tags: tags(all_tags, "/filter/allTags", &mut faults),
            source: key(self.source, "/filter/source", &mut faults),
            target: key(self.target, "/filter/target", &mut faults),
            either_end: key(self.object_type, "/filter/objectType", &mut faults),
            cardinality: self.cardinality.map(Into::into),
        };
        faults.finish(Code::InvalidRequest)?;
        Ok(filter)
    }
}

/// Text of 1 to `max` characters.
pub(super) fn text(text: Option<String>, pointer: &str, max: usize, faults: &mut Faults) -> Option<String> {
    let text = text?;
    check_text(&text, 1, max).map_err(|kind| faults.push(pointer, kind)).ok()?;
    Some(text)
}

fn tags(list: Option<Vec<String>>, pointer: &str, faults: &mut Faults) -> Vec<String> {
    let list = list.unwrap_or_default();
    if list.len() > MAX_TAGS {
        faults.push(pointer, oms_core::fault::FaultKind::TooMany { max: MAX_TAGS, actual: list.len() });
        return Vec::new();
    }
    let checked =
        list.into_iter().enumerate().filter_map(|(index, tag)| text(Some(tag), &step(pointer, index), 64, faults));
    checked.collect()
}

fn key(id: Option<ID>, pointer: &str, faults: &mut Faults) -> Option<TypeKey> {
    TypeKey::parse(&id?).map_err(|kind| faults.push(pointer, kind)).ok()
}
