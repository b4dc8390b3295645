//! Pages: what clients ask for, and Relay connections as answers.

use std::{borrow::Cow, sync::Arc};

use async_graphql::{Context, InputObject, Object, OutputType, SimpleObject, TypeName};
use oms_core::{
    error::{Code, Error, Result},
    fault::{FaultKind, Location},
    page::{DEFAULT_LIMIT, MAX_LIMIT, Page},
};

/// Which page of a list.
#[derive(Debug, Clone, Default, InputObject)]
pub(crate) struct PaginationInput {
    /// The most items: 1 to 200, 50 when it is not said.
    first: Option<i32>,
    /// The cursor after which the page begins.
    after: Option<String>,
}

/// Which page of a list, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) limit: u32,
    pub(crate) after: Option<String>,
}

impl Wanted {
    /// Checks what a client asks for.
    pub(crate) fn new(pagination: Option<PaginationInput>) -> Result<Self> {
        let PaginationInput { first, after } = pagination.unwrap_or_default();
        let limit = first.map_or(Some(DEFAULT_LIMIT), |first| u32::try_from(first).ok());
        let limit = limit.filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or_else(|| {
            let kind = FaultKind::Malformed { expected: "a whole number from 1 to 200" };
            Error::fault(Code::InvalidRequest, Location::Pointer("/pagination/first".to_owned()), kind)
        })?;
        Ok(Self { limit, after })
    }
}

/// What a page costs: as many times its item as it may have items.
pub(crate) fn cost(pagination: Option<&PaginationInput>, item: usize) -> usize {
    let first = pagination.and_then(|pagination| pagination.first).and_then(|first| u32::try_from(first).ok());
    cost_of(first.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT) as usize, item)
}

/// What a list of this size costs.
pub(crate) fn cost_of(size: usize, item: usize) -> usize {
    item.saturating_mul(size).saturating_add(1)
}

/// What a list without pages costs: as if it had ten items.
pub(crate) fn list_cost(item: usize) -> usize {
    cost_of(10, item)
}

/// A page of a list, as Relay's connections are.
pub(crate) struct Connection<T> {
    nodes: Vec<T>,
    cursors: Vec<String>,
    has_next_page: bool,
}

/// The same with a count of all pages.
pub(crate) struct CountedConnection<T> {
    page: Connection<T>,
    total: i64,
}

/// An item and where it stands.
#[derive(SimpleObject)]
#[graphql(name_type)]
pub(crate) struct Edge<'a, T: OutputType> {
    /// The item.
    node: &'a T,
    /// Where it stands: `after` this cursor the next page begins.
    cursor: &'a str,
}

/// Where a page begins and ends.
#[derive(SimpleObject)]
// Every subgraph with connections has it.
#[graphql(shareable)]
pub(crate) struct PageInfo {
    /// Whether more items follow.
    has_next_page: bool,
    /// Always false: lists are read forwards.
    has_previous_page: bool,
    /// The cursor of the first item.
    start_cursor: Option<String>,
    /// The cursor of the last item.
    end_cursor: Option<String>,
}

fn named<T: OutputType>(what: &str) -> Cow<'static, str> {
    format!("{}{what}", T::type_name()).into()
}

impl<T: OutputType> TypeName for Edge<'_, T> {
    fn type_name() -> Cow<'static, str> {
        named::<T>("Edge")
    }
}

impl<T: OutputType> TypeName for Connection<T> {
    fn type_name() -> Cow<'static, str> {
        named::<T>("Connection")
    }
}

impl<T: OutputType> TypeName for CountedConnection<T> {
    fn type_name() -> Cow<'static, str> {
        named::<T>("Connection")
    }
}

impl<T> Connection<T> {
    /// A page of the core, each item shown as a node.
    pub(crate) fn new<E>(page: &Page<E>, node: impl Fn(&E) -> T) -> Self {
        Self {
            nodes: page.items.iter().map(node).collect(),
            cursors: page.cursors.clone(),
            has_next_page: page.has_more,
        }
    }

    fn edge_list(&self) -> Vec<Edge<'_, T>>
    where
        T: OutputType,
    {
        self.nodes.iter().zip(&self.cursors).map(|(node, cursor)| Edge { node, cursor }).collect()
    }

    fn info(&self) -> PageInfo {
        PageInfo {
            has_next_page: self.has_next_page,
            has_previous_page: false,
            start_cursor: self.cursors.first().cloned(),
            end_cursor: self.cursors.last().cloned(),
        }
    }
}

impl<T> CountedConnection<T> {
    /// A page of the core with its count, each item shown as a node.
    pub(crate) fn new<E>(page: &Page<Arc<E>>, node: impl Fn(Arc<E>) -> T) -> Self {
        let total = page.total.unwrap_or_default();
        Self { page: Connection::new(page, |item| node(item.clone())), total }
    }

    /// Whether the count is asked for.
    pub(crate) fn counts(context: &Context<'_>) -> bool {
        context.look_ahead().field("totalCount").exists()
    }
}

/// A page of a list.
#[Object(name_type)]
impl<T: OutputType> Connection<T> {
    /// The items with their cursors.
    async fn edges(&self) -> Vec<Edge<'_, T>> {
        self.edge_list()
    }

    /// The items.
    async fn nodes(&self) -> &[T] {
        &self.nodes
    }

    /// Where the page begins and ends.
    async fn page_info(&self) -> PageInfo {
        self.info()
    }
}

/// A page of a list.
#[Object(name_type)]
impl<T: OutputType> CountedConnection<T> {
    /// The items with their cursors.
    async fn edges(&self) -> Vec<Edge<'_, T>> {
        self.page.edge_list()
    }

    /// The items.
    async fn nodes(&self) -> &[T] {
        &self.page.nodes
    }

    /// Where the page begins and ends.
    async fn page_info(&self) -> PageInfo {
        self.page.info()
    }

    /// How many items there are on all pages together; counted only when it is asked for.
    async fn total_count(&self) -> i64 {
        self.total
    }
}
