//! Just enough reading of a Dockerfile to say which line a builder complains about and which images it starts from.
//!
//! New engines send the line themselves; old ones name only the step, as a text.

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instruction {
    /// In capitals, such as `RUN`.
    pub(super) keyword: String,
    /// What follows, on one line.
    pub(super) rest: String,
    /// First and last line, from 1.
    pub(super) lines: (u32, u32),
    /// The stage as a builder names it: its own name or `stage-N`; empty before the first `FROM`.
    pub(super) stage: String,
}

/// Returns the instructions of a Dockerfile in order.
pub(super) fn instructions(text: &str) -> Vec<Instruction> {
    let escape = escape_of(text);
    let mut found = Vec::new();
    let mut lines = text.lines().zip(1_u32..);
    let (mut stage, mut stages) = (String::new(), 0_usize);
    while let Some((line, first)) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (mut whole, mut last) = (line.to_owned(), first);
        while let Some(head) = whole.strip_suffix(escape) {
            let head = head.to_owned();
            let Some((more, number)) = lines.by_ref().find(|(line, _)| !is_comment_or_blank(line)) else {
                break;
            };
            (whole, last) = (format!("{head}{}", more.trim_end()), number);
        }
        let (keyword, rest) = whole.split_once(char::is_whitespace).unwrap_or((&whole, ""));
        let (keyword, rest) = (keyword.to_ascii_uppercase(), rest.trim().to_owned());
        if matches!(keyword.as_str(), "RUN" | "COPY" | "ADD") {
            for end in heredocs(&rest) {
                if let Some((_, number)) =
                    lines.by_ref().find(|(line, _)| line.trim_start_matches('\t') == end)
                {
                    last = number;
                }
            }
        }
        if keyword == "FROM" {
            stage = name_of_stage(&rest).unwrap_or_else(|| format!("stage-{stages}"));
            stages += 1;
        }
        found.push(Instruction { keyword, rest, lines: (first, last), stage: stage.clone() });
    }
    found
}

/// Returns the lines of the step that a builder calls `name`, such as `[base 2/3] RUN make`.
///
/// Builders put values for variables, so a variable in the Dockerfile stands for any text.
pub(super) fn lines_of_step(text: &str, name: &str) -> Option<(u32, u32)> {
    let (place, command) = match name.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((place, command)) => (place, command),
        None => ("", name),
    };
    let (keyword, rest) = command.split_once(' ').unwrap_or((command, ""));
    let rest = squeeze(rest);
    let candidates: Vec<Instruction> = instructions(text)
        .into_iter()
        .filter(|it| it.keyword.eq_ignore_ascii_case(keyword) && fits(&squeeze(&it.rest), &rest))
        .collect();
    let in_stage = candidates.iter().find(|it| place.split(' ').any(|word| word == it.stage));
    in_stage.or(candidates.first()).map(|it| it.lines)
}

/// Returns the images that the stages start from for the platform of the result, in order; earlier stages, `scratch`, variables
/// and stages for a platform of their own are not among them.
pub(super) fn base_images(text: &str) -> Vec<String> {
    let mut stages: Vec<String> = Vec::new();
    let mut images = Vec::new();
    for instruction in instructions(text).into_iter().filter(|it| it.keyword == "FROM") {
        let image =
            instruction.rest.split_whitespace().find(|word| !word.starts_with("--")).unwrap_or_default();
        let known = stages.iter().any(|stage| stage.eq_ignore_ascii_case(image));
        let own_platform = instruction.rest.split_whitespace().any(|word| word.starts_with("--platform="));
        if !known && !own_platform && image != "scratch" && !image.contains('$') && !image.is_empty() {
            images.push(image.to_owned());
        }
        stages.push(instruction.stage);
    }
    images
}

/// Returns the image at the end of the last stage's line of `FROM`s: what gives the result its architecture.
pub(super) fn final_base(text: &str) -> Option<String> {
    let froms: Vec<Instruction> = instructions(text).into_iter().filter(|it| it.keyword == "FROM").collect();
    let mut current = froms.last()?;
    for _ in 0..froms.len() {
        let image = current.rest.split_whitespace().find(|word| !word.starts_with("--"))?;
        match froms.iter().find(|it| it.stage.eq_ignore_ascii_case(image) && it.lines < current.lines) {
            Some(earlier) => current = earlier,
            None => return Some(image.to_owned()),
        }
    }
    None
}

fn escape_of(text: &str) -> char {
    for line in text.lines() {
        let Some(directive) = line.trim().strip_prefix('#') else { break };
        match directive.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("escape") => {
                return value.trim().chars().next().unwrap_or('\\');
            }
            Some(_) => {}
            None => break,
        }
    }
    '\\'
}

fn is_comment_or_blank(line: &str) -> bool {
    line.trim().is_empty() || line.trim_start().starts_with('#')
}

fn name_of_stage(rest: &str) -> Option<String> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let at = words.iter().position(|word| word.eq_ignore_ascii_case("as"))?;
    words.get(at + 1).map(|name| name.to_ascii_lowercase())
}

/// Returns the words that end the here-documents of an instruction.
fn heredocs(rest: &str) -> Vec<String> {
    rest.split_whitespace()
        .filter_map(|word| word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<"))
        .map(|word| word.trim_start_matches('-').trim_matches(['"', '\'']).to_owned())
        .filter(|word| word.starts_with(|c: char| c.is_alphabetic() || c == '_'))
        .collect()
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether `name` is `written` with values in the place of its variables.
fn fits(written: &str, name: &str) -> bool {
    if written == name {
        return true;
    }
    let pieces = around_variables(written);
    let [first, middle @ .., last] = pieces.as_slice() else { return false };
    let Some(mut rest) = name.strip_prefix(first.as_str()) else { return false };
    for piece in middle {
        let Some(at) = rest.find(piece.as_str()) else { return false };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
    }
    rest.ends_with(last.as_str())
}

fn around_variables(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        if letter != '$' {
            if let Some(piece) = pieces.last_mut() {
                piece.push(letter);
            }
            continue;
        }
        if rest.next_if_eq(&'{').is_some() {
            while rest.next_if(|&c| c != '}').is_some() {}
            rest.next();
        } else {
            while rest.next_if(|c| c.is_alphanumeric() || *c == '_').is_some() {}
        }
        pieces.push(String::new());
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# syntax like this\nARG V=1\nFROM --platform=$BUILDPLATFORM debian:trixie AS base\n\nRUN a && \\\n    # why\n    b $V\n\
        FROM base\nRUN <<EOF\nx\nEOF\nRUN a && b 2\nCOPY x y\n";

    #[test]
    fn an_instruction_knows_its_lines_over_continuations_and_heredocs() {
        let lines: Vec<_> =
            instructions(TEXT).into_iter().map(|it| (it.keyword, it.lines, it.stage)).collect();
        let expected = [
            ("ARG", (2, 2), ""),
            ("FROM", (3, 3), "base"),
            ("RUN", (5, 7), "base"),
            ("FROM", (8, 8), "stage-1"),
            ("RUN", (9, 11), "stage-1"),
            ("RUN", (12, 12), "stage-1"),
            ("COPY", (13, 13), "stage-1"),
        ];
        let expected: Vec<_> =
            expected.into_iter().map(|(k, l, s)| (k.to_owned(), l, s.to_owned())).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_step_is_found_by_its_name_and_stage_with_variables_filled_in() {
        assert_eq!(lines_of_step(TEXT, "[base 2/2] RUN a &&     b 1"), Some((5, 7)));
        assert_eq!(lines_of_step(TEXT, "[stage-1 3/4] RUN a && b 2"), Some((12, 12)));
        assert_eq!(lines_of_step(TEXT, "[stage-1 4/4] COPY x y"), Some((13, 13)));
        assert_eq!(lines_of_step(TEXT, "[internal] load build context"), None);
    }

    #[test]
    fn the_base_of_the_result_is_found_through_its_stages() {
        assert_eq!(final_base(TEXT).as_deref(), Some("debian:trixie"));
        assert_eq!(
            base_images("FROM --platform=linux/arm64 x\nFROM a:1 AS b\nFROM B\nFROM $V\nFROM scratch"),
            ["a:1"]
        );
        assert_eq!(final_base("RUN x"), None);
    }
}
