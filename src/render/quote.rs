//! The filters through which values leave a template: each makes one word of the place where it stands, whatever the value holds.

use tera::{Kwargs, State, Tera, Value};

/// Registers the filters.
pub(super) fn register(tera: &mut Tera) {
    tera.register_filter("word", |text: &str, _: Kwargs, _: &State| word(text));
    tera.register_filter("words", |list: Vec<String>, _: Kwargs, _: &State| {
        list.iter()
            .map(|text| shell_word(text))
            .collect::<tera::TeraResult<Vec<_>>>()
            .map(|words| words.join(" "))
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
pub(crate) fn quoted(text: &str) -> String {
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Returns `text` as one word of a POSIX shell; an error if it is not one line.
///
/// A Dockerfile ends an instruction at a line's end even inside quotes, unless a backslash stands there; between single quotes the
/// quote itself stands last.
fn shell_word(text: &str) -> tera::TeraResult<String> {
    one_line(text).map(quoted)
}

/// Returns `text` as the value of an `ENV` instruction, in double quotes: no variable is expanded in it. An error if it is not one
/// line.
fn env_value(text: &str) -> tera::TeraResult<String> {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in one_line(text)?.chars() {
        if matches!(c, '"' | '\\' | '$') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    Ok(quoted)
}

/// Returns `text` if it is one line. The types of a plan admit no other; this is the second lock on the door.
fn one_line(text: &str) -> tera::TeraResult<&str> {
    if text.chars().any(breaks_line) {
        return Err(tera::Error::message(format!("`{}` is more than one line", text.escape_debug())));
    }
    Ok(text)
}

fn breaks_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
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
        assert_eq!(shell_word("nvidia-nccl-cu12==2.32.3").unwrap(), "nvidia-nccl-cu12==2.32.3");
        assert_eq!(shell_word("a b").unwrap(), "'a b'");
        assert_eq!(shell_word("it's $(id)").unwrap(), r"'it'\''s $(id)'");
        assert_eq!(shell_word("").unwrap(), "''");
    }

    #[test]
    fn an_env_value_expands_nothing() {
        assert_eq!(env_value(r#"^lo "$HOME" \"#).unwrap(), r#""^lo \"\$HOME\" \\""#);
    }

    #[test]
    fn what_is_more_than_one_line_is_refused_and_never_cut() {
        for text in ["a\nRUN b", "a\r", "a\tb", "a\u{2028}b", "a\0"] {
            assert!(shell_word(text).is_err() && env_value(text).is_err(), "{text:?}");
        }
        assert_eq!(comment("a\nRUN b"), "a RUN b");
    }

    #[test]
    fn what_is_no_word_is_refused() {
        for text in ["", "a b", "--flag", "a\nb", "$x", "a'b", "a\"b", "a\\b", "a;b", "a#b"] {
            assert!(word(text).is_err(), "{text:?}");
        }
    }
}
