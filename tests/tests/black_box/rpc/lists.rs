//! Lists: pages, filters and orders.

use oms_proto::client::{
    Cardinality, ListLinkTypesRequest, ListObjectTypeVersionsRequest, ListObjectTypesRequest, ObjectType, SortBy,
    list_object_type_versions_request::Key,
};
use oms_tests::{App, Client, Token, samples};
use serde_json::{Value, json};
use tonic::Code;

use super::{Clients, shapes, wire::Failure};

/// Page after page until there is no next one; also how long each page was.
async fn all(clients: &mut Clients, asked: &ListObjectTypesRequest) -> (Vec<ObjectType>, Vec<usize>) {
    let (mut types, mut lengths, mut page_token) = (Vec::new(), Vec::new(), String::new());
    loop {
        let asked = ListObjectTypesRequest { page_token, ..asked.clone() };
        let page = clients.objects.list_object_types(asked).await.unwrap().into_inner();
        lengths.push(page.object_types.len());
        types.extend(page.object_types);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return (types, lengths);
        }
    }
}

fn names(types: &[ObjectType]) -> Vec<&str> {
    types.iter().map(|each| each.name.as_str()).collect()
}

async fn seven(editor: &Client) {
    for (n, display) in ["g", "F", "e", "D", "c", "B", "a"].into_iter().enumerate() {
        let mut definition = samples::object_type(&format!("T{n}"));
        definition["displayName"] = json!(display);
        editor.post("object-types", &definition).expect(201).await;
    }
    editor.patch("object-types/T2", 1, &json!({"description": "changed last"})).expect(200).await;
}

#[tokio::test]
async fn pages_lead_through_all_in_every_order() {
    let app = App::start().await;
    let editor = app.client("editor");
    seven(&editor).await;
    let mut clients = Clients::of(&app.grpc(), "viewer");
    for (sort_by, rest) in [
        (SortBy::Unspecified, "name"),
        (SortBy::Name, "name"),
        (SortBy::DisplayName, "displayName"),
        (SortBy::CreatedAt, "createdAt"),
        (SortBy::UpdatedAt, "updatedAt"),
    ] {
        for descending in [false, true] {
            let sign = if descending { "-" } else { "" };
            let wanted = editor.all(&format!("object-types?sort={sign}{rest}")).await;
            for (page_size, pages) in [(0, &[7][..]), (200, &[7]), (3, &[3, 3, 1]), (1, &[1; 7]), (7, &[7])] {
                let asked = ListObjectTypesRequest {
                    page_size,
                    sort_by: sort_by.into(),
                    descending,
                    ..ListObjectTypesRequest::default()
                };
                let (types, lengths) = all(&mut clients, &asked).await;
                let found: Value = types.iter().map(shapes::object_type).collect();
                assert_eq!(found, shapes::of_rest(&json!(wanted)), "{sort_by:?} {descending} {page_size}");
                assert_eq!(lengths, pages, "{page_size}");
            }
        }
    }
}

#[tokio::test]
async fn filters_join_and_are_counted_when_asked_for() {
    let app = App::start().await;
    let editor = app.client("editor");
    let tagged = |name: &str, category: &str, tags: &[&str]| json!({"name": name, "displayName": name, "category": category, "tags": tags});
    let items = [
        tagged("A", "sales", &["core", "gdpr"]),
        tagged("B", "sales", &["core"]),
        tagged("C", "plant", &["gdpr"]),
        tagged("D", "plant", &[]),
    ];
    editor.post("object-types:batch", &json!({"items": items})).expect(201).await;
    let mut clients = Clients::of(&app.grpc(), "viewer");
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    for (category, any_tags, all_tags, expected) in [
        (None, &[][..], &[][..], &["A", "B", "C", "D"][..]),
        (Some("sales"), &[], &[], &["A", "B"]),
        (None, &["core"], &[], &["A", "B"]),
        (None, &["core", "gdpr"], &[], &["A", "B", "C"]),
        (None, &[], &["core", "gdpr"], &["A"]),
        (Some("plant"), &["gdpr", "core"], &[], &["C"]),
        (Some("none"), &[], &[], &[]),
    ] {
        let asked = ListObjectTypesRequest {
            category: category.map(str::to_owned),
            any_tags: texts(any_tags),
            all_tags: texts(all_tags),
            include_total_count: true,
            page_size: 2,
            ..ListObjectTypesRequest::default()
        };
        let page = clients.objects.list_object_types(asked.clone()).await.unwrap().into_inner();
        assert_eq!(page.total_count, Some(i64::try_from(expected.len()).unwrap()), "{asked:?}");
        let (types, _) = all(&mut clients, &asked).await;
        assert_eq!(names(&types), expected, "{asked:?}");
    }
    let page = clients.objects.list_object_types(ListObjectTypesRequest::default()).await.unwrap().into_inner();
    assert_eq!(page.total_count, None, "nothing is counted without being asked for");
}

#[tokio::test]
async fn a_token_is_good_for_its_own_list_alone() {
    let app = App::start().await;
    let editor = app.client("editor");
    seven(&editor).await;
    for name in ["a", "b"] {
        editor.post("link-types", &samples::link_type(name, "T0", "T1")).expect(201).await;
    }
    let mut clients = Clients::of(&app.grpc(), "viewer");
    let first = ListObjectTypesRequest { page_size: 2, ..ListObjectTypesRequest::default() };
    let page_token = clients.objects.list_object_types(first.clone()).await.unwrap().into_inner().next_page_token;
    let next = ListObjectTypesRequest { page_token: page_token.clone(), ..first.clone() };

    let mut refused = Vec::new();
    for (what, asked) in [
        ("another order", ListObjectTypesRequest { descending: true, ..next.clone() }),
        ("another field", ListObjectTypesRequest { sort_by: SortBy::CreatedAt.into(), ..next.clone() }),
        ("a filter", ListObjectTypesRequest { category: Some("sales".to_owned()), ..next.clone() }),
        ("tags", ListObjectTypesRequest { any_tags: vec!["core".to_owned()], ..next.clone() }),
        ("a token that is cut", ListObjectTypesRequest { page_token: page_token[1..].to_owned(), ..next.clone() }),
        ("a long text", ListObjectTypesRequest { page_token: "A".repeat(10_000), ..next.clone() }),
        ("Korean", ListObjectTypesRequest { page_token: "다음".to_owned(), ..next.clone() }),
    ] {
        refused.push((what, clients.objects.list_object_types(asked).await.unwrap_err()));
    }
    let of_links = ListLinkTypesRequest { page_token: page_token.clone(), ..ListLinkTypesRequest::default() };
    refused.push(("another kind", clients.links.list_link_types(of_links).await.unwrap_err()));
    let of_versions = ListObjectTypeVersionsRequest {
        key: Some(Key::Name("T2".to_owned())),
        page_token: page_token.clone(),
        ..ListObjectTypeVersionsRequest::default()
    };
    refused.push(("versions", clients.objects.list_object_type_versions(of_versions).await.unwrap_err()));
    for (what, status) in refused {
        let failure = Failure::of(&status);
        assert_eq!((failure.code, failure.reason()), (Code::InvalidArgument, "INVALID_CURSOR"), "{what}: {status:?}");
        assert_eq!(failure.fields(), ["page_token"], "{what}");
    }
    let mut foreign = Clients::with(&app.grpc(), &Token::of("admin").tenant("another"));
    match foreign.objects.list_object_types(next.clone()).await {
        Ok(page) => assert_eq!(page.into_inner().object_types, [], "another tenant has nothing"),
        Err(status) => assert_eq!(Failure::of(&status).reason(), "INVALID_CURSOR"),
    }
    // Another size of the page is no other list, and REST goes on where gRPC was.
    let longer = ListObjectTypesRequest { page_size: 200, ..next };
    let page = clients.objects.list_object_types(longer).await.unwrap().into_inner();
    assert_eq!(names(&page.object_types), ["T2", "T3", "T4", "T5", "T6"]);
    let rest = editor.get(&format!("object-types?cursor={page_token}")).expect(200).await;
    assert_eq!(rest["data"][0]["name"], "T2");
}

#[tokio::test]
async fn links_are_found_by_what_they_link() {
    let app = App::start().await;
    let editor = app.client("editor");
    let types = ["Customer", "Order", "Item"].map(samples::object_type);
    editor.post("object-types:batch", &json!({"items": types})).expect(201).await;
    let mut likes = samples::link_type("likes", "Customer", "Item");
    likes["cardinality"] = json!("MANY_TO_MANY");
    likes["tags"] = json!(["soft"]);
    let links = json!({"items": [
        samples::link_type("places", "Customer", "Order"),
        samples::link_type("contains", "Order", "Item"),
        samples::link_type("follows", "Customer", "Customer"),
        likes,
    ]});
    editor.post("link-types:batch", &links).expect(201).await;
    let id = editor.get("object-types/Order").expect(200).await["id"].as_str().unwrap().to_owned();
    let mut client = Clients::of(&app.grpc(), "viewer").links;
    let some = |text: &str| Some(text.to_owned());
    let any = ListLinkTypesRequest::default;
    for (asked, expected) in [
        (any(), &["contains", "follows", "likes", "places"][..]),
        (ListLinkTypesRequest { source: some("customer"), ..any() }, &["follows", "likes", "places"]),
        (ListLinkTypesRequest { target: some("ITEM"), ..any() }, &["contains", "likes"]),
        (ListLinkTypesRequest { source: some("Customer"), target: some(&id), ..any() }, &["places"]),
        (ListLinkTypesRequest { source: some(&id), descending: true, ..any() }, &["contains"]),
        (ListLinkTypesRequest { cardinality: Cardinality::ManyToMany.into(), ..any() }, &["likes"]),
        (ListLinkTypesRequest { cardinality: Cardinality::OneToOne.into(), ..any() }, &[]),
        (ListLinkTypesRequest { any_tags: vec!["soft".to_owned()], ..any() }, &["likes"]),
        (ListLinkTypesRequest { source: some("Nothing"), ..any() }, &[]),
        (ListLinkTypesRequest { descending: true, ..any() }, &["places", "likes", "follows", "contains"]),
    ] {
        let (mut found, mut page_token) = (Vec::new(), String::new());
        loop {
            let asked = ListLinkTypesRequest { page_size: 2, page_token, include_total_count: true, ..asked.clone() };
            let page = client.list_link_types(asked).await.unwrap().into_inner();
            assert_eq!(page.total_count, Some(i64::try_from(expected.len()).unwrap()));
            found.extend(page.link_types.iter().map(|link| link.name.clone()));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(found, expected, "{asked:?}");
    }
}

#[tokio::test]
async fn a_list_beyond_4_mib_is_cut_where_a_default_client_takes_it() {
    let app = App::start().await;
    let editor = app.client("editor");
    // Some 80 kB each as JSON, and 10 MB in all.
    for start in [0, 40, 80] {
        let items: Vec<_> = (start..start + 40)
            .map(|n| {
                let mut definition = samples::object_type(&format!("T{n:03}"));
                definition["metadata"] = json!({"text": "x".repeat(40_000)});
                definition["description"] = json!("고".repeat(15_000));
                definition
            })
            .collect();
        editor.post("object-types:batch", &json!({"items": items})).expect(201).await;
    }
    // Four MiB are the default of a client, for one message.
    let mut clients = Clients::of(&app.grpc(), "viewer");
    let asked =
        ListObjectTypesRequest { page_size: 200, include_total_count: true, ..ListObjectTypesRequest::default() };
    let first = clients.objects.list_object_types(asked.clone()).await.unwrap().into_inner();
    assert_eq!(first.total_count, Some(120));
    assert!((10..120).contains(&first.object_types.len()), "{} types", first.object_types.len());
    let (types, lengths) = all(&mut clients, &asked).await;
    assert!(lengths.len() > 2, "{lengths:?}");
    let expected: Vec<String> = (0..120).map(|n| format!("T{n:03}")).collect();
    assert_eq!(names(&types), expected);
}
