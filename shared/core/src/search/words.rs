//! Words of documents and of queries, cut the same way: `PostalAddress` is two words, Korean, Chinese and Japanese text is
//! its pairs of neighbouring characters, so that the middle of a word is found.

use crate::{definition::Definition, property};

/// The most bytes of one weight: PostgreSQL keeps at most 1 MB in a `tsvector`, and every word is there twice.
const MAX_BYTES: usize = 64 * 1024;

/// The words of a type by weight, and the text that is compared when nothing matches a word.
pub(crate) struct DocumentWords {
    /// Name and display name.
    pub(crate) a: String,
    /// Property names, category and tags.
    pub(crate) b: String,
    /// Description.
    pub(crate) c: String,
    /// Name and display name in lower case.
    pub(crate) text: String,
}

/// The words of a type.
pub(crate) fn document_words(definition: &Definition) -> DocumentWords {
    let mut a = Words::default();
    a.add(definition.name.as_str());
    // The name as one word too, for those who type it so.
    a.word(definition.name.folded());
    a.add(&definition.display_name);
    let mut b = Words::default();
    property::walk(&definition.properties, true, &mut |property, _| {
        b.add(property.name.as_str());
        b.add(&property.display_name);
    });
    for text in definition.tags.iter().chain(&definition.category) {
        b.add(text);
    }
    let mut c = Words::default();
    c.add(definition.description.as_deref().unwrap_or_default());
    let mut text = Words::default();
    text.add(definition.name.as_str());
    let text = format!("{} {}", text.joined(), definition.display_name.to_lowercase());
    DocumentWords { a: a.joined(), b: b.joined(), c: c.joined(), text }
}

/// A query made ready.
pub(crate) struct QueryWords {
    /// For `to_tsquery`: all words, the last one as a prefix.
    pub(crate) tsquery: String,
    /// The query in lower case without anything but letters and digits, to find an exact name.
    pub(crate) squashed: String,
    /// The words with spaces between, to compare spelling.
    pub(crate) plain: String,
}

/// The words of a query; none when it has no letter or digit.
pub(crate) fn query_words(text: &str) -> Option<QueryWords> {
    let mut words = Words::default();
    words.add(text);
    words.0.truncate(32);
    if words.0.is_empty() {
        return None;
    }
    let squashed = text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    Some(QueryWords { tsquery: format!("{}:*", words.0.join(" & ")), squashed, plain: text.trim().to_lowercase() })
}

#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    /// As many words as there is room for, with spaces between.
    fn joined(&self) -> String {
        let mut room = MAX_BYTES;
        let fitting = self.0.iter().take_while(|word| {
            let fits = word.len() < room;
            room = room.saturating_sub(word.len() + 1);
            fits
        });
        fitting.map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// PostgreSQL takes no word of 2 KB and more.
    fn word(&mut self, word: String) {
        if !word.is_empty() && word.len() < 256 {
            self.0.push(word);
        }
    }

    fn add(&mut self, text: &str) {
        for run in text.split(|c: char| !c.is_alphanumeric()) {
            let mut rest = run;
            while let Some(first) = rest.chars().next() {
                let ideographic = is_cjk(first);
                let end = rest.char_indices().find(|(_, c)| is_cjk(*c) != ideographic).map_or(rest.len(), |(at, _)| at);
                let (part, after) = rest.split_at(end);
                if ideographic {
                    self.pairs(part)
                } else {
                    self.camel(part)
                }
                rest = after;
            }
        }
    }

    fn pairs(&mut self, run: &str) {
        let chars: Vec<char> = run.chars().collect();
        if let [only] = chars.as_slice() {
            return self.word(only.to_string());
        }
        for pair in chars.windows(2) {
            self.word(pair.iter().collect());
        }
    }

    /// Cuts before a capital that follows a small letter or digit, or that begins a word after capitals.
    fn camel(&mut self, run: &str) {
        let chars: Vec<char> = run.chars().collect();
        let mut word = String::new();
        for (i, c) in chars.iter().enumerate() {
            let before = i.checked_sub(1).and_then(|i| chars.get(i));
            let starts = before.is_some_and(|before| {
                c.is_uppercase() && (!before.is_uppercase() || chars.get(i + 1).is_some_and(|next| next.is_lowercase()))
            });
            if starts {
                self.word(std::mem::take(&mut word));
            }
            word.extend(c.to_lowercase());
        }
        self.word(word);
    }
}

/// Hangul, kana and ideographs: scripts whose words are not told apart by spaces alone.
fn is_cjk(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{11ff}' | '\u{3040}'..='\u{318f}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> String {
        let mut words = Words::default();
        words.add(text);
        words.joined()
    }

    #[test]
    fn names_are_cut_into_words() {
        assert_eq!(words("PostalAddress"), "postal address");
        assert_eq!(words("HTTPServer_v2 x3DModel"), "http server v2 x3 d model");
        assert_eq!(words("우리고객 A형"), "우리 리고 고객 a 형");
        assert_eq!(words("--- !"), "");
    }

    #[test]
    fn the_last_word_of_a_query_is_a_prefix() {
        let query = query_words("Postal addr").unwrap();
        assert_eq!((query.tsquery.as_str(), query.squashed.as_str()), ("postal & addr:*", "postaladdr"));
        assert!(query_words("?!").is_none());
    }

    proptest! {
        #[test]
        fn a_query_is_always_a_valid_tsquery(text in ".{0,80}") {
            if let Some(query) = query_words(&text) {
                let words = query.tsquery.strip_suffix(":*").unwrap();
                prop_assert!(words.split(" & ").all(|w| !w.is_empty() && w.chars().all(|c| c.is_alphanumeric() || c.is_alphabetic() || !c.is_ascii())));
            }
        }
    }
}
