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

/// Returns a path in at most `width` characters: its beginning and its end, which says most, with `…` between.
pub(super) fn middle(path: &str, width: usize) -> String {
    let path = line(path);
    let length = path.chars().count();
    if length <= width {
        return path;
    }
    let begin = width.saturating_sub(1) / 3;
    let end = width.saturating_sub(1 + begin);
    path.chars().take(begin).chain(['…']).chain(path.chars().skip(length - end)).collect()
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

/// Returns prose as a terminal of `width` shows it: lines that are longer are broken between words, and what follows hangs below the
/// last column of the line, or below what its mark (`hint:`, `-`) introduces. A word that is wider than all stays whole, so that it can
/// be copied, and so do the lines of a recipe that an error shows.
pub(crate) fn folded(text: &str, width: usize) -> String {
    let mut folded = String::with_capacity(text.len() + text.len() / 8);
    for written in text.split_inclusive('\n') {
        let (body, end) = written.strip_suffix('\n').map_or((written, ""), |body| (body, "\n"));
        if seen(body) <= width || is_picture(body) {
            folded += body;
        } else {
            fold(&mut folded, body, width);
        }
        folded += end;
    }
    folded
}

fn fold(folded: &mut String, body: &str, width: usize) {
    let (head, rest) = body.split_at(hang(body, width / 2));
    let blank = head.trim().is_empty();
    // A sentence that goes on is set off from the next one.
    let indent = seen(head) + if blank { 2 } else { 0 };
    // A digest or a path that fits alone is moved to the left: it is seen whole, and can be copied.
    let before = |usual: usize, length: usize| if length > width { usual } else { usual.min(width - length) };
    let mut column = 0;
    for (at, word) in rest.split(' ').enumerate() {
        let length = seen(word);
        if at == 0 {
            column = if blank { before(seen(head), length) } else { seen(head) };
            *folded += if blank { &head[..column] } else { head };
        } else if column + 1 + length > width {
            column = before(indent, length);
            folded.push('\n');
            folded.extend(std::iter::repeat_n(' ', column));
        } else {
            folded.push(' ');
            column += 1;
        }
        *folded += word;
        column += length;
    }
}

/// Returns how many bytes of `body` stand before what may be broken: its indent and mark, or all of its columns but the last.
fn hang(body: &str, most: usize) -> usize {
    let shown = line(body);
    let start = shown.len() - shown.trim_start().len();
    let mark = shown[start..].split_inclusive(' ').next().filter(|word| {
        let word = word.trim_end();
        word.ends_with(':') || matches!(word, "-" | "→" | "+" | "~")
    });
    let marked = start + mark.map_or(0, str::len);
    let columns = shown[start..].rmatch_indices("  ").map(|(at, gap)| start + at + gap.len());
    let column =
        columns.chain([marked]).map(|at| shown[..at].chars().count()).find(|at| *at <= most).unwrap_or(start);
    // Colours stand in between: what is seen is not where it stands.
    let mut ends = std::iter::once(0).chain(body.char_indices().map(|(at, letter)| at + letter.len_utf8()));
    ends.find(|end| seen(&body[..*end]) >= column).unwrap_or(0)
}

/// Returns whether a line belongs to the picture that an error draws of a recipe.
fn is_picture(body: &str) -> bool {
    let body = line(body);
    body.trim_start_matches(|letter: char| letter == ' ' || letter.is_ascii_digit())
        .starts_with(['│', '·', '╭', '╰'])
}

/// Returns how many characters of `text` are seen: colours are not.
fn seen(text: &str) -> usize {
    let blanks = text.len() - text.trim_end().len();
    line(text).chars().count() + blanks
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
    fn a_long_path_keeps_its_beginning_and_its_end() {
        assert_eq!(
            middle("/opt/venv/lib/python3.11/site-packages/nvidia/nccl/lib/libnccl.so.2", 30),
            "/opt/venv…ccl/lib/libnccl.so.2"
        );
        assert_eq!(middle("/short", 30), "/short");
        assert_eq!(middle("/long/enough", 0), "…");
    }

    #[test]
    fn long_lines_are_broken_between_words_below_their_column_or_mark() {
        for (text, expected) in [
            ("short\n", "short\n"),
            ("one two three four five", "one two three four\n  five"),
            ("hint: one two three four five\nx\n", "hint: one two three\n      four five\nx\n"),
            ("  - one two three four five", "  - one two three\n    four five"),
            ("name   one two three four five", "name   one two three\n       four five"),
            ("    one two three four five", "    one two three\n      four five"),
            ("see /a/very/long/path/of/a/file now", "see\n  /a/very/long/path/of/a/file\n  now"),
            ("name   one seventeen-letters", "name   one\n   seventeen-letters"),
            (" 12 │ one two three four five six", " 12 │ one two three four five six"),
            ("   · ╰── one two three four five", "   · ╰── one two three four five"),
            (
                "\u{1b}[31merror:\u{1b}[0m one two three four",
                "\u{1b}[31merror:\u{1b}[0m one two three\n       four",
            ),
            (
                "\u{1b}[36m  help: \u{1b}[0mone two three four",
                "\u{1b}[36m  help: \u{1b}[0mone two\n        three four",
            ),
            ("", ""),
        ] {
            assert_eq!(folded(text, 20), expected);
        }
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
