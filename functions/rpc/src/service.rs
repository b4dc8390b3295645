//! The two services. Their methods do the same; what differs are the names of messages, and what lists are asked.

use buffa::EnumValue;
use connectrpc::{RequestContext, ServiceRequest, ServiceResult, ServiceStream};
use oms_core::{
    entity::Filter,
    error::Code,
    fault::{Fault, FaultKind},
    input::Faults,
    link_type::Cardinality,
    name::TypeKey,
};
use oms_proto::server::v1::{self as pb, __buffa::view::oneof, LinkTypeService, ObjectTypeService};

use crate::{
    Rpc,
    call::{self, Call},
    list::{self, Asked},
    message,
    validate::{self, Given, Room},
    versions, watch,
};

/// What only lists of object types are asked: nothing.
fn object_types(_: &pb::ListObjectTypesRequestView<'_>, _: &mut Faults) -> Filter {
    Filter::default()
}

/// What only lists of link types are asked.
fn link_types(asked: &pb::ListLinkTypesRequestView<'_>, faults: &mut Faults) -> Filter {
    let mut end = |field, text: Option<&str>| match text.map(TypeKey::parse) {
        Some(Err(kind)) => {
            faults.add(Fault::of_parameter(field, kind));
            None
        }
        key => key.and_then(Result::ok),
    };
    let (source, target) = (end("source", asked.source), end("target", asked.target));
    Filter { source, target, cardinality: cardinality(asked.cardinality, faults), ..Filter::default() }
}

fn cardinality(asked: EnumValue<pb::Cardinality>, faults: &mut Faults) -> Option<Cardinality> {
    match asked.as_known() {
        Some(pb::Cardinality::CARDINALITY_UNSPECIFIED) => None,
        Some(pb::Cardinality::CARDINALITY_ONE_TO_ONE) => Some(Cardinality::OneToOne),
        Some(pb::Cardinality::CARDINALITY_ONE_TO_MANY) => Some(Cardinality::OneToMany),
        Some(pb::Cardinality::CARDINALITY_MANY_TO_MANY) => Some(Cardinality::ManyToMany),
        None => {
            let allowed = "CARDINALITY_ONE_TO_ONE, CARDINALITY_ONE_TO_MANY, CARDINALITY_MANY_TO_MANY";
            faults.add(Fault::of_parameter("cardinality", FaultKind::NotOneOf { allowed }));
            None
        }
    }
}

/// The type that a request names by its `oneof`.
macro_rules! key {
    ($key:expr, $Key:path, $Id:ident, $Name:ident, $not_found:expr) => {{
        use $Key as Key;
        match &$key {
            Some(Key::$Id(id)) => call::key(Some(id), None, $not_found),
            Some(Key::$Name(name)) => call::key(None, Some(name), $not_found),
            None => call::key(None, None, $not_found),
        }
    }};
}
/// Implements a service: the kind with what it is called, then each method with its messages. A request's module is that of
/// its `oneof`.
macro_rules! service {
    (
        $Service:ident, $kind:ident, $not_found:expr, $show:path, $filter:path;
        get $get:ident, $get_request:ident, $GetRequest:ident, $Type:ident;
        list $list:ident, $ListRequest:ident, $ListResponse:ident, $items:ident;
        validate $one:ident, $one_request:ident, $OneRequest:ident, $OneResponse:ident;
        validate $many:ident, $many_request:ident, $ManyRequest:ident, $ManyResponse:ident,
            $type:ident, $ById:ident, $ByName:ident;
        versions $versions:ident, $versions_request:ident, $VersionsRequest:ident, $VersionsResponse:ident;
        version $version:ident, $version_request:ident, $VersionRequest:ident, $VersionResponse:ident;
        compare $compare:ident, $compare_request:ident, $CompareRequest:ident, $CompareResponse:ident;
        watch $watch:ident, $WatchRequest:ident, $Event:ident;
    ) => {
        impl $Service for Rpc {
            async fn $get(
                &self,
                context: RequestContext,
                request: ServiceRequest<'_, pb::$GetRequest>,
            ) -> ServiceResult<pb::$Type> {
                let call = Call::of(&context)?;
                let found = async {
                    let key = key!(request.key, oneof::$get_request::Key, Id, Name, $not_found)?;
                    Ok($show(&self.edge.registry.$kind.get(&call.context, &key).await?))
                };
                call.answer(found.await)
            }

            async fn $list(
                &self,
                context: RequestContext,
                request: ServiceRequest<'_, pb::$ListRequest>,
            ) -> ServiceResult<pb::$ListResponse> {
                let call = Call::of(&context)?;
                let asked = Asked {
                    page_size: request.page_size,
                    page_token: request.page_token,
                    category: request.category,
                    any_tags: request.any_tags.iter().copied().collect(),
                    all_tags: request.all_tags.iter().copied().collect(),
                    sort_by: request.sort_by,
                    descending: request.descending,
                    include_total_count: request.include_total_count,
                };
                let mut faults = Faults::default();
                let filter = $filter(request.view(), &mut faults);
                let (service, max_bytes) = (&self.edge.registry.$kind, self.edge.config.max_response_bytes);
                let page = list::page(service, &call, asked.query(filter, faults), max_bytes, $show).await;
                call.answer(page.map(|page| pb::$ListResponse {
                    $items: page.messages,
                    next_page_token: page.next,
                    total_count: page.total,
                    ..pb::$ListResponse::default()
                }))
            }

            async fn $one(
                &self,
                context: RequestContext,
                request: ServiceRequest<'_, pb::$OneRequest>,
            ) -> ServiceResult<pb::$OneResponse> {
                use oneof::$one_request::Data;
                let call = Call::of(&context)?;
                let key = key!(request.$type, oneof::$one_request::$Type, $ById, $ByName, $not_found);
                let given = request.data.as_ref().map(|data| match data {
                    Data::Instance(instance) => Given::Structs(vec![instance.as_ref()]),
                    Data::InstanceJson(text) => Given::Texts(vec![text]),
                });
                let verdicts = validate::one(&self.edge.registry.$kind, &call, key, request.version, given).await;
                call.answer(verdicts.map(|verdicts| {
                    let mut room = Room::new(self.edge.config.max_response_bytes, &verdicts);
                    let faults = verdicts.each.first().map(|verdict| verdict.faults.as_slice()).unwrap_or_default();
                    pb::$OneResponse {
                        valid: verdicts.each.iter().all(|verdict| verdict.valid),
                        violations: room.violations(call.locale(), faults),
                        truncated: room.truncated,
                        ..pb::$OneResponse::default()
                    }
                }))
            }

            async fn $many(
                &self,
                context: RequestContext,
                request: ServiceRequest<'_, pb::$ManyRequest>,
            ) -> ServiceResult<pb::$ManyResponse> {
                let call = Call::of(&context)?;
                let key = key!(request.$type, oneof::$many_request::$Type, $ById, $ByName, $not_found);
                let (structs, texts) =
                    (request.instances.iter().collect(), request.instances_json.iter().copied().collect());
                let service = &self.edge.registry.$kind;
                let verdicts = validate::many(service, &call, key, request.version, structs, texts).await;
                call.answer(verdicts.map(|verdicts| {
                    let mut room = Room::new(self.edge.config.max_response_bytes, &verdicts);
                    pb::$ManyResponse {
                        valid: verdicts.each.iter().all(|verdict| verdict.valid),
                        results: room.results(call.locale(), &verdicts.each),
                        truncated: room.truncated,
                        ..pb::$ManyResponse::default()
                    }
                }))
            }

            async fn $versions(
                &self,
                context: RequestContext,
                request: ServiceRequest<'_, pb::$VersionsRequest>,
            ) -> ServiceResult<pb::$VersionsResponse> {
                let call = Call::of(&context)?;
                let key = key!(request.key, oneof::$versions_request::Key, Id, Name, $not_found);
                let (page, max_bytes) = ((request.page_size, request.page_token), self.edge.config.max_response_bytes);
                let page = versions::list(&self.edge.registry.$kind, &call, key, page, max_bytes).await;
                call.answer(page.map(|page| pb::$VersionsResponse {
                    versions: page.messages,
                    next_page_token: page.next,
                    ..pb::$VersionsResponse::default()
                }))
            }

            async fn $version(
                &self,
                context: RequestContext,
                request: ServiceRequest<'_, pb::$VersionRequest>,
            ) -> ServiceResult<pb::$VersionResponse> {
                let call = Call::of(&context)?;
                let key = key!(request.key, oneof::$version_request::Key, Id, Name, $not_found);
                let version = versions::get(&self.edge.registry.$kind, &call, key, request.version).await;
                call.answer(version.map(|version| pb::$VersionResponse {
                    info: message::version_info(&version.info).into(),
                    $type: $show(&version.snapshot).into(),
                    ..pb::$VersionResponse::default()
                }))
            }

            async fn $compare(
                &self,
                context: RequestContext,
                request: ServiceRequest<'_, pb::$CompareRequest>,
            ) -> ServiceResult<pb::$CompareResponse> {
                let call = Call::of(&context)?;
                let key = key!(request.key, oneof::$compare_request::Key, Id, Name, $not_found);
                let pair = (request.from_version, request.to_version);
                let comparison = versions::compare(&self.edge.registry.$kind, &call, key, pair).await;
                call.answer(comparison.map(|comparison| pb::$CompareResponse {
                    from: message::version_info(&comparison.from.info).into(),
                    to: message::version_info(&comparison.to.info).into(),
                    changes: message::changes(&comparison.changes),
                    ..pb::$CompareResponse::default()
                }))
            }

            async fn $watch(
                &self,
                context: RequestContext,
                request: ServiceRequest<'_, pb::$WatchRequest>,
            ) -> ServiceResult<ServiceStream<pb::$Event>> {
                let call = Call::of(&context)?;
                let asked = watch::Asked {
                    names: request.names.iter().copied().collect(),
                    categories: request.categories.iter().copied().collect(),
                    tags: request.tags.iter().copied().collect(),
                    event_types: request.event_types.iter().copied().collect(),
                    start: request.start,
                    resume_token: request.resume_token,
                };
                call.answer(watch::open(&self.edge, &call, &context, asked).await)
            }
        }
    };
}

service! {
    ObjectTypeService, object_types, Code::ObjectTypeNotFound, message::object_type, object_types;
    get get_object_type, get_object_type_request, GetObjectTypeRequest, ObjectType;
    list list_object_types, ListObjectTypesRequest, ListObjectTypesResponse, object_types;
    validate validate_object_instance, validate_object_instance_request, ValidateObjectInstanceRequest,
        ValidateObjectInstanceResponse;
    validate validate_object_instances, validate_object_instances_request, ValidateObjectInstancesRequest,
        ValidateObjectInstancesResponse, object_type, ObjectTypeId, ObjectTypeName;
    versions list_object_type_versions, list_object_type_versions_request, ListObjectTypeVersionsRequest,
        ListObjectTypeVersionsResponse;
    version get_object_type_version, get_object_type_version_request, GetObjectTypeVersionRequest,
        GetObjectTypeVersionResponse;
    compare compare_object_type_versions, compare_object_type_versions_request, CompareObjectTypeVersionsRequest,
        CompareObjectTypeVersionsResponse;
    watch watch_object_types, WatchObjectTypesRequest, ObjectTypeEvent;
}

service! {
    LinkTypeService, link_types, Code::LinkTypeNotFound, message::link_type, link_types;
    get get_link_type, get_link_type_request, GetLinkTypeRequest, LinkType;
    list list_link_types, ListLinkTypesRequest, ListLinkTypesResponse, link_types;
    validate validate_link_instance, validate_link_instance_request, ValidateLinkInstanceRequest,
        ValidateLinkInstanceResponse;
    validate validate_link_instances, validate_link_instances_request, ValidateLinkInstancesRequest,
        ValidateLinkInstancesResponse, link_type, LinkTypeId, LinkTypeName;
    versions list_link_type_versions, list_link_type_versions_request, ListLinkTypeVersionsRequest,
        ListLinkTypeVersionsResponse;
    version get_link_type_version, get_link_type_version_request, GetLinkTypeVersionRequest,
        GetLinkTypeVersionResponse;
    compare compare_link_type_versions, compare_link_type_versions_request, CompareLinkTypeVersionsRequest,
        CompareLinkTypeVersionsResponse;
    watch watch_link_types, WatchLinkTypesRequest, LinkTypeEvent;
}
