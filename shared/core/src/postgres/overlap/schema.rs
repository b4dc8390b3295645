//! The schema of the release is what its migrations make, word by word.

use sqlx::PgPool;

use super::baseline::Baseline;
use crate::postgres::MIGRATOR;

/// All that there is but data, in lines.
async fn catalog(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "WITH relation AS (
            SELECT c.* FROM pg_class c
            WHERE c.relnamespace = 'public'::regnamespace AND c.relname NOT LIKE '\\_sqlx%'
        )
        SELECT concat_ws(' ', 'relation', c.relname, c.relkind, c.reloptions, pg_get_partkeydef(c.oid),
            pg_get_expr(c.relpartbound, c.oid)) FROM relation c
        UNION ALL
        SELECT concat_ws(' ', 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
            a.attgenerated, l.collname, pg_get_expr(d.adbin, d.adrelid))
        FROM relation c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        LEFT JOIN pg_collation l ON l.oid = a.attcollation
        UNION ALL
        SELECT concat_ws(' ', 'constraint', c.relname, k.conname, k.convalidated, pg_get_constraintdef(k.oid))
        FROM relation c JOIN pg_constraint k ON k.conrelid = c.oid
        UNION ALL
        SELECT pg_get_indexdef(i.indexrelid) FROM relation c JOIN pg_index i ON i.indrelid = c.oid
        UNION ALL
        SELECT pg_get_triggerdef(t.oid) FROM relation c JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal
        UNION ALL
        SELECT pg_get_statisticsobjdef(s.oid) FROM relation c JOIN pg_statistic_ext s ON s.stxrelid = c.oid
        UNION ALL
        SELECT concat_ws(' ', pg_get_functiondef(p.oid), p.proacl) FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND p.prokind = 'f'
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
        UNION ALL
        SELECT concat_ws(' ', 'extension', extname) FROM pg_extension
        ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

#[sqlx::test(migrations = false)]
async fn the_migrations_up_to_the_release_make_its_schema(pool: PgPool) {
    let release = Baseline::released();
    sqlx::raw_sql(sqlx::AssertSqlSafe(release.schema)).execute(&pool).await.unwrap();
    let wanted = catalog(&pool).await;
    sqlx::raw_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public").execute(&pool).await.unwrap();
    MIGRATOR.run_to(release.version, &pool).await.unwrap();
    let made = catalog(&pool).await;
    let different: Vec<&String> = wanted
        .iter()
        .filter(|line| !made.contains(line))
        .chain(made.iter().filter(|line| !wanted.contains(line)))
        .collect();
    assert!(different.is_empty(), "{different:#?}");
    assert!(wanted.iter().any(|line| line.contains("object_types")), "there is something to compare");
}
