//! What a statement of a migration does to those who use the schema as it was. It is read word by word: whoever knows SQL
//! well enough to hide something here is not whom this is for.

/// One statement.
pub(super) struct Statement {
    /// Where it begins.
    pub(super) line: usize,
    /// In upper case; what is quoted stays as it is.
    pub(super) words: Vec<String>,
    pub(super) effect: Effect,
}

/// What it does to those who use the schema as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// They don't notice.
    Expands,
    /// It takes something away.
    Contracts,
    /// It has to do with neither.
    Neither,
    /// It may be in no migration, for this reason.
    Refused(&'static str),
}

const RENAMES: &str = "breaks whoever uses the old name: add the new one beside it, and take the old one away later";
const UNKNOWN: &str = "is nothing that is known to be safe while others read and write";
const BACKFILL: &str = "locks what it changes until the end of the migration: change rows in small portions, by code";

/// What no block of PL/pgSQL may speak of, since neither this nor squawk looks into one.
const BLOCK: [&str; 8] = ["DROP", "DELETE", "TRUNCATE", "UPDATE", "RENAME", "TABLE", "COLUMN", "INDEX"];

/// The statements of a file.
pub(super) fn statements(text: &str) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut words: Vec<Word> = Vec::new();
    for word in read(text) {
        if word.text == ";" {
            statements.extend(statement(std::mem::take(&mut words)));
        } else {
            words.push(word);
        }
    }
    statements.extend(statement(words));
    statements
}

fn statement(words: Vec<Word>) -> Option<Statement> {
    let line = words.first()?.line;
    let words: Vec<String> = words.into_iter().map(|word| word.text).collect();
    let effect = effect(&words.iter().map(String::as_str).collect::<Vec<_>>());
    Some(Statement { line, words, effect })
}

fn effect(words: &[&str]) -> Effect {
    match words {
        ["CREATE" | "INSERT" | "SELECT" | "GRANT", ..] => Effect::Expands,
        ["COMMENT" | "SET", ..] => Effect::Neither,
        ["DROP" | "DELETE" | "TRUNCATE", ..] => Effect::Contracts,
        // Roles are granted what they need by name.
        ["REVOKE", .., "FROM", "PUBLIC"] => Effect::Expands,
        ["REVOKE", ..] => Effect::Contracts,
        ["UPDATE", ..] => Effect::Refused(BACKFILL),
        // The language may be before the body, or after it.
        ["DO", rest @ ..] if rest.iter().all(|body| BLOCK.iter().all(|word| !mentions(body, word))) => Effect::Expands,
        ["DO", ..] => Effect::Refused("may do something to tables that this lint can't read: write it out"),
        ["ALTER", ..] if words.contains(&"RENAME") => Effect::Refused(RENAMES),
        ["ALTER", ..] if words.windows(2).any(|pair| pair == ["SET", "SCHEMA"]) => Effect::Refused(RENAMES),
        ["ALTER", "TABLE", rest @ ..] => table(rest),
        ["ALTER", "FUNCTION" | "INDEX" | "SEQUENCE" | "STATISTICS" | "TYPE" | "VIEW", rest @ ..] => {
            if rest.contains(&"DROP") { Effect::Contracts } else { Effect::Expands }
        }
        _ => Effect::Refused(UNKNOWN),
    }
}

/// Whether a text has the word, in any case.
fn mentions(text: &str, word: &str) -> bool {
    text.split(|c| !is_part_of_word(c)).any(|other| other.eq_ignore_ascii_case(word))
}

/// Of all that one ALTER TABLE does. `words` begin with the name, or what may be before it.
fn table(words: &[&str]) -> Effect {
    let name = words.iter().position(|word| !["IF", "EXISTS", "ONLY"].contains(word)).unwrap_or(0);
    let after = words.get(name + 1..).unwrap_or_default();
    let after = if let [".", _, rest @ ..] = after { rest } else { after };
    let mut depth = 0_usize;
    let actions = after.split(|word| {
        match *word {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && *word == ","
    });
    let effects: Vec<Effect> = actions.map(action).collect();
    let refused = effects.iter().find(|effect| matches!(effect, Effect::Refused(_)));
    match (refused, effects.contains(&Effect::Contracts), effects.contains(&Effect::Expands)) {
        (Some(refused), ..) => *refused,
        (None, true, true) => Effect::Refused("takes something away and adds something: that is two migrations"),
        (None, true, false) => Effect::Contracts,
        _ => Effect::Expands,
    }
}

fn action(words: &[&str]) -> Effect {
    match words {
        ["ADD" | "VALIDATE" | "ATTACH", ..] | ["SET" | "RESET", "(", ..] | ["ENABLE", "TRIGGER", ..] => Effect::Expands,
        ["DROP" | "DETACH" | "DISABLE", ..] => Effect::Contracts,
        ["ALTER", "COLUMN", _, rest @ ..] | ["ALTER", _, rest @ ..] => match rest {
            ["SET", "NOT", "NULL"] | ["DROP", ..] => Effect::Contracts,
            ["SET", "DEFAULT" | "STATISTICS" | "STORAGE" | "COMPRESSION" | "(", ..] => Effect::Expands,
            ["TYPE", ..] | ["SET", "DATA", "TYPE", ..] => Effect::Refused(
                "changes what running versions read and write: add a column of the new type, and take the old one away later",
            ),
            _ => Effect::Refused(UNKNOWN),
        },
        _ => Effect::Refused(UNKNOWN),
    }
}

struct Word {
    line: usize,
    text: String,
}

/// Words, and single characters that are part of none. Comments are left out; a text in quotes is one word.
fn read(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let length = token(rest, first).clamp(1, rest.len());
        // The end of a quotation that nobody ends may be within a character.
        let (token, after) = rest.split_at(rest.ceil_char_boundary(length));
        if !first.is_whitespace() && !token.starts_with("--") && !token.starts_with("/*") {
            let text = if is_part_of_word(first) { token.to_uppercase() } else { token.to_owned() };
            words.push(Word { line, text });
        }
        line += token.matches('\n').count();
        rest = after;
    }
    words
}

/// How many bytes belong together.
fn token(text: &str, first: char) -> usize {
    let until = |start: usize, end: &str| {
        let body = text.get(start..).unwrap_or_default();
        body.find(end).map_or(text.len(), |at| start + at + end.len())
    };
    match first {
        '-' if text.starts_with("--") => until(2, "\n"),
        '/' if text.starts_with("/*") => until(2, "*/"),
        // A doubled quote inside makes two words of one, which changes nothing here.
        '\'' => until(1, "'"),
        '"' => until(1, "\""),
        '$' => match text.get(1..).and_then(|body| body.find('$')).and_then(|at| text.get(..at + 2)) {
            Some(mark) if mark.trim_matches('$').chars().all(is_part_of_word) => until(mark.len(), mark),
            _ => 1,
        },
        _ if is_part_of_word(first) => text.find(|c| !is_part_of_word(c)).unwrap_or(text.len()),
        _ => first.len_utf8(),
    }
}

fn is_part_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effects(text: &str) -> Vec<Effect> {
        statements(text).iter().map(|statement| statement.effect).collect()
    }

    #[test]
    fn what_is_quoted_or_said_aside_is_no_statement() {
        let text = "-- DROP TABLE a;\n/* DROP TABLE b; */\nINSERT INTO c VALUES ('; DROP TABLE d; --', '''');\n\
            CREATE FUNCTION e() RETURNS void LANGUAGE sql AS $body$ DROP TABLE f; SELECT '$$' $body$;\n\
            COMMENT ON TABLE \"g; DROP\" IS 'h';";
        assert_eq!(effects(text), [Effect::Expands, Effect::Expands, Effect::Neither]);
        assert_eq!(statements(text).iter().map(|statement| statement.line).collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(effects("drop table a"), [Effect::Contracts], "the last one needs no semicolon");
        assert_eq!(effects("SELECT '가"), [Effect::Expands], "nor an end");
    }

    #[test]
    fn every_action_of_an_alter_table_counts() {
        for (text, effect) in [
            ("ALTER TABLE a ADD COLUMN b numeric(1, 2), ADD c text", Effect::Expands),
            ("ALTER TABLE IF EXISTS ONLY public.a ALTER b SET DEFAULT 1", Effect::Expands),
            ("ALTER TABLE public.a DROP COLUMN b, DROP CONSTRAINT c", Effect::Contracts),
            ("ALTER TABLE a ALTER COLUMN b SET NOT NULL", Effect::Contracts),
            ("ALTER TABLE a ALTER b DROP DEFAULT", Effect::Contracts),
            ("DO $$ BEGIN EXECUTE 'REVOKE ALL ON FUNCTION drop_oldest() FROM PUBLIC'; END $$", Effect::Expands),
        ] {
            assert_eq!(effects(text), [effect], "{text}");
        }
        for text in [
            "ALTER TABLE a ADD COLUMN b text, DROP COLUMN c",
            "ALTER TABLE a ADD COLUMN b text, ALTER c TYPE bigint",
            "ALTER TABLE a RENAME b TO c",
            "ALTER INDEX a RENAME TO b",
            "ALTER FUNCTION a() SET SCHEMA b",
            "ALTER TABLE a OWNER TO b",
            "UPDATE a SET b = 1",
            "DO $$ BEGIN DROP TABLE a; END $$",
            "DO LANGUAGE plpgsql $$ BEGIN DROP TABLE a; END $$",
            "VACUUM FULL a",
            "BEGIN",
        ] {
            assert!(matches!(effects(text)[..], [Effect::Refused(_)]), "{text}");
        }
    }
}
