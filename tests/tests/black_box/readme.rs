//! The README's tour does what it says, and its table of settings names each one that there is.

use std::{collections::BTreeSet, path::Path, process::Command};

use oms_tests::{App, Token, program, workspace_root};

fn readme() -> String {
    std::fs::read_to_string(workspace_root().join("README.md")).unwrap()
}

/// The commands of the `console` blocks, each with the output that follows it.
fn examples(readme: &str) -> Vec<(String, String)> {
    let mut examples: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in readme.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if inside {
            match line.strip_prefix("$ ") {
                Some(command) => examples.push((command.to_owned(), String::new())),
                None => {
                    let (_, output) = examples.last_mut().expect("output follows a command");
                    output.push_str(line);
                    output.push('\n');
                }
            }
        }
    }
    examples
}

/// Whether the output is as expected, where `…` stands for anything.
fn fits(expected: &str, output: &str) -> bool {
    let mut pieces = expected.split('…');
    let Some(mut rest) = pieces.next().and_then(|first| output.strip_prefix(first)) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
    for piece in middle {
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[test]
fn an_ellipsis_stands_for_anything_and_nothing_else_does() {
    assert!(fits("a…c…e", "abcde") && fits("a…", "a") && fits("same", "same"));
    assert!(!fits("a…c", "abcd") && !fits("b…", "abc") && !fits("same", "same."));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_shows_what_the_readme_shows() {
    let app = App::start().await;
    let (base, token) = (app.anonymous().base().to_owned(), Token::of("admin").sign());
    let examples = examples(&readme());
    assert!(examples.len() > 8, "the tour has shrunk to {} examples", examples.len());
    for (command, expected) in examples {
        let import = format!("{} import --url {base} --token {token}", program("xtask").display());
        let shell = command.replace("cargo xtask import", &import);
        let mut bash = Command::new("bash");
        let done = bash
            .args(["-c", &shell])
            .current_dir(workspace_root())
            .env("TOKEN", &token)
            .env("OMS", &base)
            .env("OMS_GRPC", app.grpc())
            .output()
            .unwrap();
        let output = String::from_utf8(done.stdout).unwrap().replace('\r', "");
        let shown = output.trim_end();
        assert!(fits(expected.trim_end(), shown), "$ {command}\n\nshould print\n{expected}\nand printed\n{shown}");
    }
}

/// The settings that configuration code reads: upper-case names in quotes after `text(`, `parse(`, `millis(` and the like.
fn settings_in(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            settings_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for reader in ["source.text(\"", ".parse(\"", ".millis(\"", "(source, \"", "var(\""] {
                let names = code.split(reader).skip(1).filter_map(|rest| rest.split('"').next());
                let named =
                    names.filter(|name| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') && name.len() > 3);
                found.extend(named.map(str::to_owned));
            }
        }
    }
}

#[test]
fn every_setting_is_in_the_table_and_nothing_else() {
    let mut read = BTreeSet::new();
    for folder in [
        "shared/core/src",
        "shared/edge/src",
        "functions/event-relay/src",
        "functions/graphql/src",
        "functions/jwks/src",
        "functions/migrate/src",
        "functions/outbox-publisher/src",
        "functions/rest/src",
        "functions/rpc/src",
        "functions/server/src",
        "shared/kafka/src",
    ] {
        settings_in(&workspace_root().join(folder), &mut read);
    }
    // AWS Lambda sets them; nobody configures them.
    read.remove("AWS_LAMBDA_FUNCTION_NAME");
    read.remove("AWS_LAMBDA_RUNTIME_API");
    read.remove("OMS_CONFIG_FILE");
    let readme = readme();
    let table = readme.split("## Configuration").nth(1).unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let documented: BTreeSet<String> = rows.flat_map(|names| names.split('`').step_by(2)).map(str::to_owned).collect();
    let documented: BTreeSet<String> = documented.into_iter().filter(|name| !name.is_empty() && name != ", ").collect();
    assert_eq!(documented, read, "left: the README's table, right: what the code reads");
}
