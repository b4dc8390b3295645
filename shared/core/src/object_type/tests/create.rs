use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    context::{Context, Permission},
    entity::Filter,
    error::Error,
    fixture::{
        at, caller, caller_of, code, created, deleted, key, link, linked, object, patched, reference, referring,
        refusal, registry, with,
    },
};

async fn count(oms: &crate::Registry) -> i64 {
    oms.object_types.count(&caller(), &Filter::default()).await.unwrap()
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn the_document_that_is_read_is_the_one_that_was_written(pool: PgPool) {
    let oms = registry(&pool);
    let rest = json!({"description": "Who buys", "tags": ["sales", "한"], "metadata": {"limit": 1.50, "notes": null}});
    created(&oms, with(object("Customer"), rest)).await;
    created(&oms, referring("Order", "buyer", "Customer", false)).await;
    let mut places = link("Places", "Customer", "Order");
    places["properties"] = json!([reference("agent", "Customer", false)]);
    linked(&oms, places).await;
    let documents: Vec<(Value, Value)> = sqlx::query_as(
        "SELECT (SELECT document FROM object_type_as_text(t))::jsonb, v.snapshot
        FROM object_types t JOIN type_versions v ON v.entity_id = t.id
        UNION ALL
        SELECT (SELECT document FROM link_type_as_text(t, s.name, g.name))::jsonb, v.snapshot
        FROM link_types t JOIN type_versions v ON v.entity_id = t.id
        JOIN object_types s ON s.id = t.source_object_type_id JOIN object_types g ON g.id = t.target_object_type_id",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(documents.len(), 3);
    for (read, written) in documents {
        assert_eq!(read, written);
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_created_type_is_found_by_id_and_by_name_in_any_case(pool: PgPool) {
    let oms = registry(&pool);
    let input = with(
        object("Customer"),
        json!({
            "displayName": "고객", "description": "Who buys", "category": "sales", "tags": ["b", "a"],
            "baseDatasets": [{"datasetRid": "ri.1", "name": "crm"}], "metadata": {"a": {"b": [1, null, "x"]}},
            "properties": [{"name": "email", "dataType": "STRING", "required": true, "defaultValue": "a@b",
                "validators": [{"type": "pattern", "value": "@"}]}],
        }),
    );
    let made = created(&oms, input.clone()).await;
    assert_eq!((made.stamp.version, made.stamp.created_by.as_str()), (1, "ada"));
    for text in ["Customer", "CUSTOMER", "customer", &made.id.to_string()] {
        assert_eq!(oms.object_types.get(&caller(), &key(text)).await.unwrap(), made);
    }
    let shown = serde_json::to_value(made.view()).unwrap();
    for (field, value) in input.as_object().unwrap().iter().filter(|(field, _)| *field != "properties") {
        assert_eq!(&shown[field], value, "{field}");
    }
    assert_eq!(code(oms.object_types.get(&caller(), &key("Customers")).await), "OBJECT_TYPE_NOT_FOUND");
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_batch_is_all_or_nothing_and_names_every_taken_name(pool: PgPool) {
    let oms = registry(&pool);
    let names = |names: &[&str]| names.iter().map(|name| object(name)).collect::<Vec<Value>>();
    let made = oms.object_types.create_batch(&caller(), &names(&["Zebra", "Ant", "Bee"])).await.unwrap();
    // In the order of the request, whatever the order of writing.
    assert_eq!(made.iter().map(|t| t.definition.name.as_str()).collect::<Vec<_>>(), ["Zebra", "Ant", "Bee"]);

    let taken = oms.object_types.create_batch(&caller(), &names(&["New", "ANT", "Newer", "bee"])).await;
    let both = at([("/items/1/name", "OBJECT_TYPE_NAME_EXISTS"), ("/items/3/name", "OBJECT_TYPE_NAME_EXISTS")]);
    assert_eq!(refusal(taken), both);
    let twice = oms.object_types.create_batch(&caller(), &names(&["Same", "Other", "sAME"])).await;
    assert_eq!(refusal(twice), at([("/items/2/name", "OBJECT_TYPE_NAME_EXISTS")]));
    assert_eq!(count(&oms).await, 3);

    let alone = oms.object_types.create(&caller(), &object("bEE")).await;
    assert_eq!(refusal(alone), at([("/name", "OBJECT_TYPE_NAME_EXISTS")]));
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn a_batch_has_one_to_a_thousand_items_and_names_the_faults_of_each(pool: PgPool) {
    let oms = registry(&pool);
    assert_eq!(refusal(oms.object_types.create_batch(&caller(), &[]).await), at([("/items", "TOO_SHORT")]));
    let many: Vec<Value> = (0..1_001).map(|i| object(&format!("T{i}"))).collect();
    assert_eq!(refusal(oms.object_types.create_batch(&caller(), &many).await), at([("/items", "TOO_MANY_ITEMS")]));
    let wrong =
        oms.object_types.create_batch(&caller(), &[object("1"), object("Good"), json!({"name": "A"}), json!(3)]).await;
    assert_eq!(
        refusal(wrong),
        at([
            ("/items/0/name", "INVALID_NAME"),
            ("/items/2/displayName", "REQUIRED_FIELD_MISSING"),
            ("/items/3", "INVALID_FIELD_TYPE")
        ])
    );
    assert_eq!(oms.object_types.create_batch(&caller(), &many[1..]).await.unwrap().len(), 1_000);
    assert_eq!(count(&oms).await, 1_000);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn items_of_a_batch_refer_to_each_other_to_themselves_and_to_what_was_there(pool: PgPool) {
    let oms = registry(&pool);
    let old = created(&oms, object("Old")).await;
    let batch = [
        with(
            object("Order"),
            json!({"properties": [
                reference("customer", "CUSTOMER", true), reference("before", "order", false), reference("byId", &old.id.to_string(), false),
                {"name": "lines", "dataType": "ARRAY", "itemType": "OBJECT", "properties": [reference("old", "oLD", true)]},
            ]}),
        ),
        referring("Customer", "lastOrder", "Order", false),
    ];
    let made = oms.object_types.create_batch(&caller(), &batch).await.unwrap();
    let shown = serde_json::to_value(made[0].view()).unwrap();
    let targets = |shown: &Value| {
        [
            &shown["properties"][0],
            &shown["properties"][1],
            &shown["properties"][2],
            &shown["properties"][3]["properties"][0],
        ]
        .map(|property| property["referenceTo"].as_str().unwrap().to_owned())
    };
    assert_eq!(targets(&shown), ["Customer", "Order", "Old", "Old"]);
    assert_eq!(oms.object_types.get(&caller(), &key("Order")).await.unwrap(), made[0]);

    // The current name is shown, and the old one is free for another type.
    patched(&oms, "Old", json!({"name": "Renamed"})).await;
    created(&oms, object("Old")).await;
    let order = oms.object_types.get(&caller(), &key("order")).await.unwrap();
    let shown = serde_json::to_value(order.view()).unwrap();
    assert_eq!(targets(&shown), ["Customer", "Order", "Renamed", "Renamed"]);
    assert_eq!(order.stamp.version, 1);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn every_target_that_is_not_there_is_named(pool: PgPool) {
    let oms = registry(&pool);
    created(&oms, object("Gone")).await;
    deleted(&oms, "Gone").await;
    let batch = [
        object("Fine"),
        with(
            object("Order"),
            json!({"properties": [
                reference("a", "Nowhere", false), reference("b", "Fine", true), reference("c", "Gone", false),
                {"name": "o", "dataType": "OBJECT", "properties": [reference("d", "01890a5d-ac96-774b-bcce-b302099a8057", true)]},
            ]}),
        ),
    ];
    assert_eq!(
        refusal(oms.object_types.create_batch(&caller(), &batch).await),
        at([
            ("/items/1/properties/0/referenceTo", "REFERENCED_TYPE_NOT_FOUND"),
            ("/items/1/properties/2/referenceTo", "REFERENCED_TYPE_NOT_FOUND"),
            ("/items/1/properties/3/properties/0/referenceTo", "REFERENCED_TYPE_NOT_FOUND"),
        ])
    );
    assert_eq!(count(&oms).await, 0);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn of_many_who_want_a_name_at_once_one_gets_it(pool: PgPool) {
    let oms = registry(&pool);
    let acme = caller();
    let inputs = ["Name", "name", "NAME", "nAME"].map(object);
    let results = futures::future::join_all(inputs.iter().map(|input| oms.object_types.create(&acme, input))).await;
    let (made, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (1, 3));
    for result in refused {
        assert_eq!(refusal(result), at([("/name", "OBJECT_TYPE_NAME_EXISTS")]));
    }
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn batches_that_overlap_in_opposite_orders_do_not_block_each_other_for_ever(pool: PgPool) {
    let oms = registry(&pool);
    let acme = caller();
    let there: Vec<Value> = (0..50).map(|i| object(&format!("T{i}"))).collect();
    let back: Vec<Value> = there.iter().rev().cloned().collect();
    let (a, b) =
        tokio::join!(oms.object_types.create_batch(&acme, &there), oms.object_types.create_batch(&acme, &back));
    let (won, lost) = if a.is_ok() { (a, b) } else { (b, a) };
    assert_eq!(won.unwrap().len(), 50);
    assert_eq!(refusal(lost).len(), 50);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn tenants_neither_see_nor_reach_each_other(pool: PgPool) {
    let oms = registry(&pool);
    let other = caller_of("globex");
    let customer = created(&oms, object("Customer")).await;
    let id = key(&customer.id.to_string());
    for key in [&id, &key("Customer")] {
        assert_eq!(code(oms.object_types.get(&other, key).await), "OBJECT_TYPE_NOT_FOUND");
        assert_eq!(
            code(oms.object_types.update(&other, key, &json!({"category": "x"}), None).await),
            "OBJECT_TYPE_NOT_FOUND"
        );
        assert_eq!(code(oms.object_types.delete(&other, key, None, true).await), "OBJECT_TYPE_NOT_FOUND");
        assert_eq!(code(oms.object_types.restore(&other, key, None).await), "OBJECT_TYPE_NOT_FOUND");
        assert_eq!(code(oms.object_types.versions(&other, key, None, 10).await), "OBJECT_TYPE_NOT_FOUND");
        assert_eq!(code(oms.object_types.version(&other, key, 1).await), "OBJECT_TYPE_NOT_FOUND");
        assert_eq!(code(oms.object_types.compare(&other, key, 1, 1).await), "OBJECT_TYPE_NOT_FOUND");
        assert_eq!(code(oms.object_types.validate(&other, key, None, vec![json!({})]).await), "OBJECT_TYPE_NOT_FOUND");
    }
    for target in ["Customer", &customer.id.to_string()] {
        let refused = oms.object_types.create(&other, &referring("Order", "customer", target, false)).await;
        assert_eq!(refusal(refused), at([("/properties/0/referenceTo", "REFERENCED_TYPE_NOT_FOUND")]));
        let refused = oms.link_types.create(&other, &link("Owns", target, target)).await;
        assert_eq!(
            refusal(refused),
            at([("/source", "REFERENCED_TYPE_NOT_FOUND"), ("/target", "REFERENCED_TYPE_NOT_FOUND")])
        );
    }
    assert_eq!(oms.object_types.count(&other, &Filter::default()).await.unwrap(), 0);
    // The name is free over there.
    oms.object_types.create(&other, &object("Customer")).await.unwrap();
    assert_eq!(oms.object_types.get(&caller(), &id).await.unwrap(), customer);
}

#[sqlx::test(migrator = "crate::postgres::MIGRATOR")]
async fn every_use_case_asks_for_its_permission_first(pool: PgPool) {
    let oms = registry(&pool);
    created(&oms, object("Customer")).await;
    let only = |permission| Context { permissions: [permission].into_iter().collect(), ..caller() };
    let missing = |error: Error| match error {
        Error::Forbidden { permission } => permission.as_str(),
        other => panic!("{other}"),
    };
    let (reader, writer) = (only(Permission::ObjectTypeRead), only(Permission::ObjectTypeWrite));
    let name = key("Customer");
    assert_eq!(missing(oms.object_types.get(&writer, &name).await.unwrap_err()), "object_type:read");
    assert_eq!(missing(oms.object_types.count(&writer, &Filter::default()).await.unwrap_err()), "object_type:read");
    assert_eq!(missing(oms.object_types.create(&reader, &json!(1)).await.unwrap_err()), "object_type:write");
    assert_eq!(
        missing(oms.object_types.update(&reader, &name, &json!({}), None).await.unwrap_err()),
        "object_type:write"
    );
    assert_eq!(missing(oms.object_types.restore(&reader, &name, None).await.unwrap_err()), "object_type:write");
    assert_eq!(missing(oms.object_types.delete(&writer, &name, None, false).await.unwrap_err()), "object_type:delete");
    // Links go with it: that takes the right to delete links.
    let deleter = only(Permission::ObjectTypeDelete);
    assert_eq!(missing(oms.object_types.delete(&deleter, &name, None, true).await.unwrap_err()), "link_type:delete");
    oms.object_types.delete(&deleter, &name, None, false).await.unwrap();
}
