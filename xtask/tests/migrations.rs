//! A migration that would hurt running functions is noticed. Needs squawk, which this installs.

#![expect(clippy::unwrap_used, reason = "Clippy takes what tests call for no part of them")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use xtask::{baseline, install, lint, workspace};

const RELEASED: &str = "20261122000003_create_api_keys.sql";

fn passes(folder: &Path) -> bool {
    static INSTALLED: Once = Once::new();
    let root = workspace::root().unwrap();
    // Not by several tests at once.
    INSTALLED.call_once(|| drop(install::infra_tools(&root).unwrap()));
    lint::migrations(&root, folder).unwrap()
}

/// A copy of `migrations`, gone with the value.
struct Copy(PathBuf);

impl Copy {
    /// With only what was released.
    fn new(name: &str) -> Self {
        let copy = std::env::temp_dir().join(format!("oms-migrations-{name}-{}", std::process::id()));
        let copied =
            Command::new("cp").arg("-R").arg(workspace::root().unwrap().join("migrations")).arg(&copy).status();
        assert!(copied.unwrap().success());
        let copy = Self(copy);
        let released = fs::read_to_string(copy.0.join("baseline/checksums")).unwrap();
        for file in fs::read_dir(&copy.0).unwrap().map(|entry| entry.unwrap().path()) {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            if name.ends_with(".sql") && !released.contains(&name) {
                fs::remove_file(file).unwrap();
            }
        }
        copy
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    fn passes(&self) -> bool {
        passes(&self.0)
    }

    /// Whether a new migration with this text does.
    fn passes_with(&self, text: &str) -> bool {
        let name = "29991231000001_change_something.sql";
        self.write(name, text);
        let passes = self.passes();
        fs::remove_file(self.0.join(name)).unwrap();
        passes
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_migrations_of_the_checkout_pass() {
    assert!(passes(&workspace::root().unwrap().join("migrations")));
}

#[test]
fn the_released_migrations_would_pass_again() {
    let copy = Copy::new("again");
    copy.write("baseline/checksums", "");
    assert!(copy.passes());
}

#[test]
fn what_breaks_running_functions_or_locks_them_out_fails() {
    let copy = Copy::new("bad");
    for text in [
        "ALTER TABLE object_types DROP COLUMN category;",
        "DROP TABLE api_keys;",
        "DROP FUNCTION begin_epoch();",
        "DROP TRIGGER audit_logs_insert_only ON audit_logs;",
        "DELETE FROM outbox;",
        "ALTER TABLE object_types RENAME COLUMN category TO kind;",
        "ALTER TABLE object_types RENAME TO types;",
        "ALTER TABLE object_types ADD COLUMN owner text NOT NULL;",
        "ALTER TABLE object_types ALTER COLUMN category SET NOT NULL;",
        "ALTER TABLE object_types ALTER COLUMN version TYPE bigint;",
        "ALTER TABLE object_types ADD COLUMN owner uuid DEFAULT gen_random_uuid();",
        "CREATE INDEX object_types_by_kind ON object_types (category);",
        // sqlx would run it in a transaction, where it can't be.
        "CREATE INDEX CONCURRENTLY object_types_by_kind ON object_types (category);",
        "-- no-transaction\nCREATE INDEX CONCURRENTLY a ON outbox (actor); CREATE INDEX CONCURRENTLY b ON outbox (version);",
        "ALTER TABLE object_types ADD CONSTRAINT object_types_category_key UNIQUE (category);",
        "ALTER TABLE object_types ADD CONSTRAINT object_type_category CHECK (category <> '');",
        "ALTER TABLE api_keys ADD CONSTRAINT by FOREIGN KEY (tenant_id, id) REFERENCES object_types (tenant_id, id);",
        "UPDATE object_types SET category = 'none' WHERE category IS NULL;",
        "DO $$ BEGIN EXECUTE 'DROP TABLE api_keys'; END $$;",
        "DO LANGUAGE plpgsql $$ BEGIN EXECUTE 'DROP TABLE api_keys'; END $$;",
        "CREATE TABL notes (id uuid);",
    ] {
        assert!(!copy.passes_with(text), "{text}");
    }
    assert!(copy.passes(), "nothing else is wrong");
}

#[test]
fn what_expands_passes() {
    let copy = Copy::new("expand");
    for text in [
        "CREATE TABLE notes (id uuid PRIMARY KEY, text text NOT NULL);\nCREATE INDEX notes_by_text ON notes (text);",
        "ALTER TABLE object_types ADD COLUMN owner text, ADD COLUMN shared boolean NOT NULL DEFAULT false;",
        "-- no-transaction\nCREATE INDEX CONCURRENTLY object_types_by_kind ON object_types (category);",
        "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY api_keys_name ON api_keys (tenant_id, name);",
        "ALTER TABLE api_keys ADD CONSTRAINT api_keys_name_key UNIQUE USING INDEX api_keys_name;",
        "ALTER TABLE object_types ADD CONSTRAINT object_type_category CHECK (category <> '') NOT VALID;",
        "ALTER TABLE object_types VALIDATE CONSTRAINT object_type_category;",
        "CREATE OR REPLACE FUNCTION begin_epoch() RETURNS bigint LANGUAGE sql AS $$\n\
            UPDATE event_log_head SET epoch = epoch + 1 RETURNING epoch $$;\n\
            REVOKE EXECUTE ON FUNCTION begin_epoch() FROM PUBLIC;",
    ] {
        assert!(copy.passes_with(text), "{text}");
    }
}

#[test]
fn what_contracts_says_so_and_does_nothing_else() {
    let copy = Copy::new("contract");
    let (drop, add) = ("ALTER TABLE api_keys DROP COLUMN revoked_by;", "ALTER TABLE api_keys ADD COLUMN note text;");
    let said = "-- contract: api_keys.revoked_by, unused since 20261125000001";
    for (passes, text) in [
        (true, format!("{said}\n{drop}")),
        (true, format!("-- no-transaction\n{said}\nDROP INDEX CONCURRENTLY object_types_tags;")),
        (false, format!("{drop}\n{said}")),
        (false, format!("{said}\n{drop}\n{add}")),
        (false, format!("{said}\nALTER TABLE api_keys DROP COLUMN revoked_by, ADD COLUMN note text;")),
        (false, format!("{said}\nDROP INDEX object_types_tags;")),
        (false, format!("-- contract: api_keys.revoked_by\n{drop}")),
        (false, format!("-- contract: api_keys.revoked_by, unused since 29991231000000\n{drop}")),
    ] {
        assert_eq!(copy.passes_with(&text), passes, "{text}");
    }
}

#[test]
fn what_was_released_stays_as_it_was() {
    let copy = Copy::new("released");
    let text = fs::read_to_string(copy.0.join(RELEASED)).unwrap();
    copy.write(RELEASED, &text.replacen("256-bit", "128-bit", 1));
    assert!(!copy.passes(), "with another comment: the checksum in the databases is another");
    fs::remove_file(copy.0.join(RELEASED)).unwrap();
    assert!(!copy.passes(), "without it");
    copy.write(RELEASED, &text);
    assert!(copy.passes(), "as it was");
}

#[test]
fn a_new_migration_comes_after_those_that_were_released_and_is_named_like_them() {
    let copy = Copy::new("names");
    for (passes, name) in [
        (true, "29991231000001_add_notes.sql"),
        (false, "20261122000004_add_notes.sql"),
        (false, "29991231000001_notes.sql"),
        (false, "2999_add_notes.sql"),
    ] {
        copy.write(name, "CREATE TABLE notes (id uuid PRIMARY KEY);");
        assert_eq!(copy.passes(), passes, "{name}");
        fs::remove_file(copy.0.join(name)).unwrap();
    }
}

#[test]
fn a_release_is_kept_with_what_it_was_made_of() {
    let copy = Copy::new("release");
    let root = workspace::root().unwrap();
    let before = fs::read_to_string(copy.0.join("baseline/checksums")).unwrap();
    let name = "29991231000001_add_notes.sql";
    copy.write(name, "CREATE TABLE notes (id uuid PRIMARY KEY);");
    assert!(copy.passes(), "squawk is here");
    assert_eq!(baseline::write(&root, &copy.0).unwrap(), "29991231000001");
    let read = |file: &str| fs::read_to_string(copy.0.join("baseline").join(file)).unwrap();
    let checksums = read("checksums");
    let new = checksums.strip_prefix(&before).expect("the others are as they were");
    assert!(new.ends_with(&format!("  {name}\n")), "{new}");
    let schema = read("29991231000001/schema.sql");
    assert!(schema.contains("CREATE TABLE public.object_types (") && schema.contains("CREATE TABLE public.notes ("));
    assert!(read("29991231000001/queries.sql").contains("INSERT INTO object_types AS t ("));
    assert_eq!(read("29991231000001/writes.json"), read("20261125000001/writes.json"));
    copy.write(name, "CREATE TABLE notes (id uuid PRIMARY KEY, text text);");
    assert!(!copy.passes(), "it was released");
    assert!(baseline::write(&root, &copy.0).is_err(), "nor may another release change it");
}
