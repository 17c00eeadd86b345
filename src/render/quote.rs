//! The filters through which values leave a template: each makes one word of the place where it stands, whatever the value holds.

use tera::{Kwargs, State, Tera, Value};

/// Registers the filters.
pub(super) fn register(tera: &mut Tera) {
    tera.register_filter("word", |text: &str, _: Kwargs, _: &State| word(text));
    tera.register_filter("words", |list: Vec<String>, _: Kwargs, _: &State| {
        list.iter().map(|text| shell_word(text)).collect::<Vec<_>>().join(" ")
    });
    tera.register_filter("sh", |text: &str, _: Kwargs, _: &State| shell_word(text));
    tera.register_filter("env", |text: &str, _: Kwargs, _: &State| env_value(text));
    tera.register_filter("comment", |text: &str, _: Kwargs, _: &State| comment(text));
    tera.register_filter("requirement", |package: &Value, _: Kwargs, _: &State| requirement(package));
}

/// Returns `text` if it is one word everywhere in a Dockerfile; an error otherwise.
fn word(text: &str) -> tera::TeraResult<String> {
    let plain = !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain);
    if plain {
        Ok(text.to_owned())
    } else {
        Err(tera::Error::message(format!("`{}` is no word of a Dockerfile", text.escape_debug())))
    }
}

/// Returns whether `c` means itself in a Dockerfile and in a shell.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-+@:/=,%".contains(c)
}

/// Returns `text` as one word of a POSIX shell.
///
/// A Dockerfile ends at a line's end even inside quotes, and joins a line that ends in a backslash to the next: control characters
/// are written as nothing (no validated type holds any), and within single quotes a backslash is never last in its line.
fn shell_word(text: &str) -> String {
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    let visible: String = text.chars().filter(|c| !c.is_control()).collect();
    format!("'{}'", visible.replace('\'', r"'\''"))
}

/// Returns `text` as the value of an `ENV` instruction, in double quotes: no variable is expanded in it.
fn env_value(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\' | '$') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// Returns `text` as part of a comment: on one line.
fn comment(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .collect()
}

/// Returns a pinned package as a line of pip's requirements file.
fn requirement(package: &Value) -> tera::TeraResult<String> {
    let text = serde_json::to_value(package).map_err(|error| tera::Error::message(error.to_string()))?;
    let name = text["requirement"].as_str().unwrap_or_default();
    let hashes = text["hashes"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
    Ok(hashes.fold(name.to_owned(), |line, hash| format!("{line} --hash={hash}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_word_is_itself_or_quoted() {
        assert_eq!(shell_word("nvidia-nccl-cu12==2.32.3"), "nvidia-nccl-cu12==2.32.3");
        assert_eq!(shell_word("a b"), "'a b'");
        assert_eq!(shell_word("it's $(id)"), r"'it'\''s $(id)'");
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_word("a\nRUN b"), "'aRUN b'");
    }

    #[test]
    fn an_env_value_expands_nothing() {
        assert_eq!(env_value(r#"^lo "$HOME" \"#), r#""^lo \"\$HOME\" \\""#);
    }

    #[test]
    fn what_is_no_word_is_refused() {
        for text in ["", "a b", "--flag", "a\nb", "$x", "a'b", "a\"b", "a\\b", "a;b", "a#b"] {
            assert!(word(text).is_err(), "{text:?}");
        }
    }
}
