//! The patterns of `.dockerignore`, as Docker's own matcher reads them: `*`, `?`, `[a-z]`, `\`, `**`, and `!` for exceptions.

use super::links::clean;

/// A list of patterns; a later one wins over an earlier one.
#[derive(Debug, Default)]
pub(crate) struct Patterns(Vec<Pattern>);

#[derive(Debug)]
struct Pattern {
    /// The text between slashes.
    parts: Vec<String>,
    exception: bool,
}

/// Which patterns matched a path or one of the folders above it.
#[derive(Debug, Default, Clone)]
pub(super) struct Matched {
    each: Vec<bool>,
    matched: bool,
}

impl Matched {
    pub(super) fn is_match(&self) -> bool {
        self.matched
    }
}

impl Patterns {
    /// Reads patterns.
    ///
    /// # Errors
    /// Says which pattern makes no sense: a lone `!`, a `[` without its `]`, a `\` at the end.
    pub(crate) fn new(texts: &[String]) -> Result<Self, String> {
        let mut patterns = Vec::with_capacity(texts.len());
        for text in texts {
            let trimmed = text.trim();
            if trimmed.is_empty() {
                continue;
            }
            let (exception, rest) =
                trimmed.strip_prefix('!').map_or((false, trimmed), |rest| (true, rest.trim()));
            if rest.is_empty() {
                return Err(format!("`{text}` is no pattern: a `!` needs one after it"));
            }
            let parts: Vec<String> =
                clean(rest).split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
            if let Some(part) = parts.iter().find(|part| !well_formed(part)) {
                return Err(format!("`{part}` is no pattern: a `[` or `\\` without its end"));
            }
            // `.` and `/` as a pattern name the context itself, which cannot be left out.
            if !parts.is_empty() {
                patterns.push(Pattern { parts, exception });
            }
        }
        Ok(Self(patterns))
    }

    /// Reads the lines of a `.dockerignore` file.
    pub(crate) fn lines(text: &str) -> Vec<String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.trim().to_owned())
            .filter(|l| !l.is_empty())
            .collect()
    }

    /// Returns which patterns match `path`, or matched the folder above it.
    pub(super) fn matched(&self, path: &str, parent: &Matched) -> Matched {
        let parts: Vec<&str> = path.split('/').collect();
        let mut result = Matched { each: Vec::with_capacity(self.0.len()), matched: false };
        for (index, pattern) in self.0.iter().enumerate() {
            let matches =
                parent.each.get(index).copied().unwrap_or(false) || path_matches(&pattern.parts, &parts);
            if matches {
                result.matched = !pattern.exception;
            }
            result.each.push(matches);
        }
        result
    }

    /// Whether something in the folder `path` may match, although the folder does not.
    pub(super) fn may_match_inside(&self, path: &str) -> bool {
        self.0.iter().any(|pattern| !pattern.exception && pattern.may_reach_inside(path))
    }

    /// Whether something in the folder `path` may be an exception.
    pub(super) fn may_except_inside(&self, path: &str) -> bool {
        self.0.iter().any(|pattern| pattern.exception && pattern.may_reach_inside(path))
    }
}

impl Pattern {
    fn may_reach_inside(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        for (index, part) in parts.iter().enumerate() {
            match self.parts.get(index) {
                Some(pattern) if pattern.contains("**") => return true,
                Some(pattern) if name_matches(pattern, part) => {}
                _ => return false,
            }
        }
        self.parts.len() > parts.len()
    }
}

/// Whether a pattern of parts matches the parts of a path; `**` stands for any number of parts.
fn path_matches(pattern: &[String], path: &[&str]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return path.is_empty() };
    if first == "**" {
        // At the end it stands for at least one part: `a/**` is what is in `a`, not `a` itself.
        if rest.is_empty() {
            return !path.is_empty();
        }
        return (0..=path.len()).any(|skipped| path_matches(rest, path.get(skipped..).unwrap_or_default()));
    }
    if first.contains("**") {
        // `**` beside other characters crosses slashes; rare enough to be tried the slow way.
        return (1..=path.len()).any(|taken| {
            let (head, tail) = path.split_at(taken);
            wild(&letters(first), &head.join("/").chars().collect::<Vec<_>>(), true)
                && path_matches(rest, tail)
        });
    }
    match path.split_first() {
        Some((part, tail)) => name_matches(first, part) && path_matches(rest, tail),
        None => false,
    }
}

/// Whether a pattern without slashes matches a name.
pub(super) fn name_matches(pattern: &str, name: &str) -> bool {
    if pattern.contains(['*', '?', '[', '\\']) {
        wild(&letters(pattern), &name.chars().collect::<Vec<_>>(), false)
    } else {
        pattern == name
    }
}

/// One position of a pattern.
#[derive(Debug, PartialEq)]
enum Letter {
    Is(char),
    Any,
    Many,
    /// Ranges, and whether they are what it must not be.
    Among(Vec<(char, char)>, bool),
}

fn well_formed(pattern: &str) -> bool {
    let mut rest = pattern.chars();
    while let Some(letter) = rest.next() {
        match letter {
            '\\' if rest.next().is_none() => return false,
            '[' if class(&mut rest).is_none() => return false,
            _ => {}
        }
    }
    true
}

fn letters(pattern: &str) -> Vec<Letter> {
    let mut letters = Vec::with_capacity(pattern.len());
    let mut rest = pattern.chars();
    while let Some(letter) = rest.next() {
        match letter {
            '*' if letters.last() == Some(&Letter::Many) => {}
            '*' => letters.push(Letter::Many),
            '?' => letters.push(Letter::Any),
            '\\' => letters.extend(rest.next().map(Letter::Is)),
            '[' => letters.extend(class(&mut rest)),
            letter => letters.push(Letter::Is(letter)),
        }
    }
    letters
}

fn class(rest: &mut std::str::Chars<'_>) -> Option<Letter> {
    let mut ranges = Vec::new();
    let negated = rest.as_str().starts_with('^');
    if negated {
        rest.next();
    }
    loop {
        let low = match rest.next()? {
            ']' if !ranges.is_empty() => return Some(Letter::Among(ranges, negated)),
            '\\' => rest.next()?,
            letter => letter,
        };
        let high = if rest.as_str().starts_with('-') && !rest.as_str().starts_with("-]") {
            rest.next();
            match rest.next()? {
                '\\' => rest.next()?,
                letter => letter,
            }
        } else {
            low
        };
        ranges.push((low, high));
    }
}

/// Matches with one point to come back to, so that no pattern takes exponential time.
fn wild(pattern: &[Letter], text: &[char], slashes: bool) -> bool {
    let (mut at, mut position) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while let Some(&letter) = text.get(position) {
        let plain = slashes || letter != '/';
        let step = match pattern.get(at) {
            Some(Letter::Many) => {
                back = Some((at, position));
                at += 1;
                continue;
            }
            Some(Letter::Is(expected)) => *expected == letter,
            Some(Letter::Any) => plain,
            Some(Letter::Among(ranges, negated)) => {
                plain && ranges.iter().any(|(low, high)| (*low..=*high).contains(&letter)) != *negated
            }
            None => false,
        };
        if step {
            at += 1;
            position += 1;
        } else if let Some((star, from)) = back {
            back = Some((star, from + 1));
            at = star + 1;
            position = from + 1;
        } else {
            return false;
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|letter| *letter == Letter::Many)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(patterns: &[&str], path: &str) -> bool {
        let texts: Vec<String> = patterns.iter().map(|&text| text.to_owned()).collect();
        let patterns = Patterns::new(&texts).unwrap();
        let mut matched = Matched::default();
        let mut above = String::new();
        for part in path.split('/') {
            above = if above.is_empty() { part.to_owned() } else { format!("{above}/{part}") };
            matched = patterns.matched(&above, &matched);
        }
        matched.is_match()
    }

    #[test]
    fn patterns_match_as_in_dockers_own_tests() {
        // From moby/patternmatcher's table of cases.
        for (pattern, path, expected) in [
            ("**", "file", true),
            ("**", "dir/file", true),
            ("**/", "file", true),
            ("**/**", "dir/file", true),
            ("dir/**", "dir/file", true),
            ("dir/**", "dir/dir2/file", true),
            ("**/dir2/*", "dir/dir2/file", true),
            ("**/dir2/**", "dir/dir2/dir2/file", true),
            ("**file", "dir/dir/file", true),
            ("**/file", "dir/dir/file", true),
            ("**/file*", "dir/dir/file.txt", true),
            ("**/file*txt", "dir/dir/file.txt", true),
            ("**/file*.txt*", "dir/dir/file.txt", true),
            ("**/**/*.txt", "dir/dir/file.txt", true),
            ("**/*.txt2", "dir/dir/file.txt", false),
            ("a**/*.txt", "a/file.txt", true),
            ("a**/*.txt", "a/dir/dir/file.txt", true),
            ("a/*.txt", "a/dir/file.txt", false),
            ("a/*.txt**", "a/file.txt", true),
            ("a[b-d]e", "ae", false),
            ("a[b-d]e", "ace", true),
            ("a[^b-d]e", "ace", false),
            ("a[^b-d]e", "aze", true),
            (".*", ".foo", true),
            (".*", "foo", false),
            ("abc.def", "abcdef", false),
            ("abc?def", "abcZdef", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("a\\\\", "a\\", true),
            ("**/foo/bar", "foo/bar", true),
            ("abc/**", "abc", false),
            ("*/*.py", "top.py", false),
            ("/root.txt", "root.txt", true),
            ("./x/../y", "y", true),
            ("dir", "dir/inside", true),
        ] {
            assert_eq!(excluded(&[pattern], path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        assert!(!excluded(&["*", "!keep"], "keep/file"));
        assert!(excluded(&["*", "!keep", "keep/secret"], "keep/secret"));
        assert!(excluded(&["!keep", "*"], "keep"));
    }

    #[test]
    fn comments_and_blank_lines_are_no_patterns() {
        assert_eq!(Patterns::lines("\u{feff}# c\n\n a \r\n!b\n"), ["a", "!b"]);
    }

    #[test]
    fn a_pattern_without_its_end_is_named() {
        for text in ["a[b", "a\\", "!"] {
            assert!(Patterns::new(&[text.to_owned()]).is_err(), "{text}");
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = "*a".repeat(50) + "b";
        assert!(!name_matches(&pattern, &"a".repeat(5000)));
    }
}
