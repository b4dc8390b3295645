//! Pages of types: what both services ask and answer alike.

use buffa::Message;
use oms_core::{
    entity::{Filter, ListQuery, Service, Store},
    error::{Code, Error},
    fault::{Fault, FaultKind},
    input::{Faults, check_text},
    page::{DEFAULT_LIMIT, MAX_LIMIT, Page, Sort, SortBy},
};
use oms_proto::server::v1 as pb;

use crate::call::{Call, page_size, some};

/// The most bytes of an answer that a client takes by default, less what stands around the items.
pub(crate) const CLIENT_LIMIT: usize = 4 * 1024 * 1024 - 16 * 1024;
/// The most tags of a filter, and the longest text in it, in characters.
const MAX_TAGS: usize = 100;
const MAX_TEXT: usize = 64;

/// What a list request has, whichever the kind.
pub(crate) struct Asked<'a> {
    pub(crate) page_size: i32,
    pub(crate) page_token: &'a str,
    pub(crate) category: Option<&'a str>,
    pub(crate) any_tags: Vec<&'a str>,
    pub(crate) all_tags: Vec<&'a str>,
    pub(crate) sort_by: buffa::EnumValue<pb::SortBy>,
    pub(crate) descending: bool,
    pub(crate) include_total_count: bool,
}

impl Asked<'_> {
    /// The question; what only one kind asks is in the filter already.
    pub(crate) fn query(self, filter: Filter, mut faults: Faults) -> Result<ListQuery, Error> {
        let limit = page_size(self.page_size, DEFAULT_LIMIT, MAX_LIMIT, &mut faults);
        let by = match self.sort_by.as_known() {
            Some(pb::SortBy::SORT_BY_UNSPECIFIED | pb::SortBy::SORT_BY_NAME) => SortBy::Name,
            Some(pb::SortBy::SORT_BY_DISPLAY_NAME) => SortBy::DisplayName,
            Some(pb::SortBy::SORT_BY_CREATED_AT) => SortBy::CreatedAt,
            Some(pb::SortBy::SORT_BY_UPDATED_AT) => SortBy::UpdatedAt,
            None => {
                let allowed = "SORT_BY_NAME, SORT_BY_DISPLAY_NAME, SORT_BY_CREATED_AT, SORT_BY_UPDATED_AT";
                faults.add(Fault::of_parameter("sort_by", FaultKind::NotOneOf { allowed }));
                SortBy::Name
            }
        };
        let filter = Filter {
            category: self.category.map(|category| text("category", category, &mut faults)),
            any_tags: texts("any_tags", &self.any_tags, MAX_TAGS, &mut faults),
            all_tags: texts("all_tags", &self.all_tags, MAX_TAGS, &mut faults),
            ..filter
        };
        faults.finish(Code::InvalidRequest)?;
        Ok(ListQuery {
            filter,
            sort: Sort { by, descending: self.descending },
            cursor: some(self.page_token).map(str::to_owned),
            limit,
            count: self.include_total_count,
        })
    }
}

fn text(field: &'static str, text: &str, faults: &mut Faults) -> String {
    if let Err(kind) = check_text(text, 1, MAX_TEXT) {
        faults.add(Fault::of_parameter(field, kind));
    }
    text.to_owned()
}

/// Texts of a filter.
pub(crate) fn texts(field: &'static str, items: &[&str], max: usize, faults: &mut Faults) -> Vec<String> {
    if items.len() > max {
        faults.add(Fault::of_parameter(field, FaultKind::TooMany { max, actual: items.len() }));
        return Vec::new();
    }
    let check = |(index, item): (usize, &&str)| {
        if let Err(kind) = check_text(item, 1, MAX_TEXT) {
            faults.add(Fault::of_parameter(format!("{field}[{index}]"), kind));
        }
        (*item).to_owned()
    };
    items.iter().enumerate().map(check).collect()
}

/// A page: its messages as far as an answer has room, the token of the next one, and the count if it was asked for.
pub(crate) struct Shown<M> {
    pub(crate) messages: Vec<M>,
    pub(crate) next: String,
    pub(crate) total: Option<i64>,
}

/// Reads and shows a page.
pub(crate) async fn page<E: Store, M: Message>(
    service: &Service<E>,
    call: &Call,
    query: Result<ListQuery, Error>,
    max_bytes: usize,
    show: impl Fn(&E) -> M,
) -> Result<Shown<M>, Error> {
    Ok(shown(service.list(&call.context, &query?).await?, max_bytes, show))
}

/// As many of the first items as an answer has room for; one at least.
pub(crate) fn shown<T, M: Message>(page: Page<T>, max_bytes: usize, show: impl Fn(&T) -> M) -> Shown<M> {
    let mut room = max_bytes.min(CLIENT_LIMIT);
    let mut messages: Vec<M> = Vec::with_capacity(page.items.len());
    for item in &page.items {
        let message = show(item);
        let bytes = message.encoded_len() as usize + 8;
        if bytes > room && !messages.is_empty() {
            break;
        }
        room = room.saturating_sub(bytes);
        messages.push(message);
    }
    let next = if messages.len() < page.items.len() {
        messages.len().checked_sub(1).and_then(|last| page.cursors.get(last)).map(String::as_str)
    } else {
        page.next_cursor()
    };
    Shown { next: next.unwrap_or_default().to_owned(), messages, total: page.total }
}
