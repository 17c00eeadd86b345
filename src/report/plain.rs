//! Text that is safe and short enough for a terminal line: no control characters, sizes and times for people.

pub(super) use crate::check::human as bytes;

use std::time::Duration;

/// Returns `text` on one line without control characters and escape sequences, as a build step may write them.
pub(crate) fn line(text: &str) -> String {
    // A program that overwrites its own line means the last version of it.
    let text = text.trim_end().rsplit('\r').next().unwrap_or(text);
    let mut clean = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => skip_escape(&mut characters),
            '\t' => clean.push(' '),
            character if character.is_control() => {}
            character => clean.push(character),
        }
    }
    clean
}

/// Skips the rest of an escape sequence (ECMA-48): `[` up to a letter, `]` up to its bell, or one character.
fn skip_escape(characters: &mut std::str::Chars<'_>) {
    match characters.next() {
        Some('[') => drop(characters.by_ref().find(|c| ('\u{40}'..='\u{7e}').contains(c))),
        Some(']') => drop(characters.by_ref().find(|c| matches!(c, '\u{7}' | '\u{1b}'))),
        _ => {}
    }
}

/// Returns the first line of `text`, at most `width` characters long.
pub(super) fn short(text: &str, width: usize) -> String {
    let text = line(text.lines().next().unwrap_or_default());
    if text.chars().count() <= width {
        return text;
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Returns `text` in lines of at most `width` characters, broken between words where there are any.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut();
        match last {
            Some(last) if last.is_empty() => last.push_str(word),
            Some(last) if last.chars().count() + 1 + word.chars().count() <= width => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Returns a number with its noun: `1 layer`, `2 layers`.
pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Returns the name of a build step in at most `width` characters: `[nccl 1/1] RUN …` without the mounts and blanks that people skip.
pub(crate) fn step(name: &str, width: usize) -> String {
    let noise = |word: &&str| !word.is_empty() && !word.starts_with("--mount=") && *word != "\\";
    let words: Vec<&str> = name.split_whitespace().filter(noise).collect();
    let words = words.join(" ");
    // What every RUN of our own Dockerfiles begins with tells nothing.
    short(
        &words.replacen("RUN set -eu; ", "RUN ", 1).replacen(
            "export DEBIAN_FRONTEND=noninteractive; ",
            "",
            1,
        ),
        width,
    )
}

/// Returns a duration as `0.4 s`, `12.3 s`, `4 min 05 s` or `2 h 03 min`.
pub(super) fn took(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_control_characters_never_reach_a_terminal() {
        assert_eq!(line("\u{1b}[31mred\u{1b}[0m\u{7} \u{1b}]0;title\u{7}x\ty\n"), "red x y");
        assert_eq!(line("10 %\r50 %\r100 %"), "100 %");
        assert_eq!(line("\u{1b}[unclosed"), "nclosed");
    }

    #[test]
    fn sizes_and_times_are_for_people() {
        assert_eq!([999, 1500, 2_800_000_000].map(bytes), ["999 B", "1.5 kB", "2.8 GB"]);
        assert_eq!(
            [400, 65_000, 7_380_000].map(|ms| took(Duration::from_millis(ms))),
            ["0.4 s", "1 min 05 s", "2 h 03 min"]
        );
    }
}
