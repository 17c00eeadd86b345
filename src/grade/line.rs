//! One line of a log as NCCL wrote it: who said it, how loud, and what.
//!
//! A line may begin with anything: tags of mpirun, torchrun, kubectl or ray, timestamps, colours. Where ranks write at the same
//! time, one line may hold the messages of several.

/// How loud a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Info,
    Warn,
}

/// Who said it: `host:pid:tid [device]`. Any part may be missing from a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Speaker<'a> {
    pub(super) host: &'a str,
    pub(super) pid: u64,
    pub(super) device: Option<u32>,
}

/// A message of NCCL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) speaker: Speaker<'a>,
    pub(super) level: Level,
    pub(super) text: &'a str,
}

const LEVELS: [(&str, Level); 3] =
    [("NCCL INFO ", Level::Info), ("NCCL WARN ", Level::Warn), ("NCCL ERROR ", Level::Warn)];

/// Returns the messages in `line`, in order.
pub(super) fn messages(line: &str) -> Vec<Message<'_>> {
    let marks = marks(line);
    let mut found: Vec<(Message<'_>, usize)> = Vec::with_capacity(marks.len());
    for (at, &(start, end, level)) in marks.iter().enumerate() {
        let before = if at == 0 { 0 } else { marks[at - 1].1 };
        let (offset, speaker) = speaker(&line[before..start]);
        // What stands before this speaker is the end of the message before.
        if let Some((last, from)) = found.last_mut() {
            last.text = line[*from..before + offset].trim();
        }
        found.push((Message { speaker, level, text: line[end..].trim() }, end));
    }
    found.into_iter().map(|(message, _)| message).collect()
}

/// Returns where each `NCCL INFO ` begins and ends.
fn marks(line: &str) -> Vec<(usize, usize, Level)> {
    let mut marks = Vec::new();
    let mut from = 0;
    while let Some(at) = line[from..].find("NCCL ") {
        let start = from + at;
        match LEVELS.iter().find(|(word, _)| line[start..].starts_with(word)) {
            Some((word, level)) => {
                from = start + word.len();
                marks.push((start, from, *level));
            }
            None => from = start + "NCCL ".len(),
        }
    }
    marks
}

/// Returns the speaker that `head` ends with, and where in it the speaker begins.
fn speaker(head: &str) -> (usize, Speaker<'_>) {
    let words: Vec<(usize, &str)> = words(head).collect();
    let device = |word: &str| word.strip_prefix('[')?.strip_suffix(']')?.parse::<u32>().ok();
    let mut alone = None;
    for at in (0..words.len()).rev() {
        let (offset, word) = words[at];
        let Some(device) = device(word) else { continue };
        let before = at.checked_sub(1).map(|before| words[before]);
        if let Some((offset, (host, pid))) = before.and_then(|(offset, word)| Some((offset, process(word)?)))
        {
            return (offset, Speaker { host, pid, device: Some(device) });
        }
        alone = alone.or(Some((offset, Speaker { device: Some(device), ..Speaker::default() })));
    }
    // Some logs lost the device: `host:pid:tid NCCL INFO`.
    let bare = words.iter().rev().find_map(|&(offset, word)| Some((offset, process(word)?)));
    match (alone, bare) {
        (Some(alone), _) => alone,
        (None, Some((offset, (host, pid)))) => (offset, Speaker { host, pid, device: None }),
        (None, None) => (head.len(), Speaker::default()),
    }
}

fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_whitespace().map(move |word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}

/// Reads `host:pid:tid`, whatever tag stands before the host.
fn process(word: &str) -> Option<(&str, u64)> {
    let mut parts = word.rsplitn(3, ':');
    let (thread, pid, host) = (parts.next()?, parts.next()?, parts.next()?);
    thread.parse::<u64>().ok()?;
    let host = without_timestamp(host);
    // `[1,26]<stdout>:host`, `(Worker)host`, `[rank0]:host`.
    let host = host.rsplit(['>', ')', ']', ':', '|']).next().unwrap_or(host);
    Some((host, pid.parse().ok()?)).filter(|_| !host.is_empty())
}

/// Takes `2025-05-16T16:39:51.208-07:00` from the front of a host that it was glued to.
fn without_timestamp(host: &str) -> &str {
    let bytes = host.as_bytes();
    let dated = bytes.len() > 20
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && bytes[4] == b'-'
        && bytes[10] == b'T'
        && host.is_char_boundary(19);
    if !dated {
        return host;
    }
    let rest = &host[19..];
    let zone = rest.find(['Z', '+', '-']);
    match zone {
        Some(at) if rest[at..].starts_with('Z') => &rest[at + 1..],
        Some(at) => rest.get(at + "+00:00".len()..).unwrap_or(host),
        None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Message<'_> {
        let found = messages(line);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0]
    }

    #[test]
    fn a_speaker_is_found_behind_every_kind_of_tag() {
        let expected = Speaker { host: "ip-10-0-0-1", pid: 8716, device: Some(2) };
        for tag in [
            "",
            "[1,26]<stdout>:",
            "worker-0: ",
            "[pod/trainer-0/pytorch] ",
            "[rank3]:",
            "(Worker pid=12) ",
            "2025-05-16T16:39:51.208-07:00 | ",
            "2025-05-16T16:39:51.208-07:00",
            "2025-05-16T16:39:51.208Z",
            "[2026-04-22 21:34:20] ",
        ] {
            let line = format!("{tag}ip-10-0-0-1:8716:9558 [2] NCCL INFO Using network Socket");
            let message = one(&line);
            assert_eq!((message.speaker, message.text), (expected, "Using network Socket"), "{tag}");
        }
    }

    #[test]
    fn a_warning_names_its_source_file_between_speaker_and_level() {
        let message = one("a:1:2 [3] misc/socket.cc:49 NCCL WARN socketProgress: gone");
        assert_eq!(message.level, Level::Warn);
        assert_eq!(message.speaker, Speaker { host: "a", pid: 1, device: Some(3) });
    }

    #[test]
    fn messages_that_were_written_into_one_line_are_told_apart() {
        let found = messages("a:1:1 [0] NCCL INFO one two b:2:2 [1] NCCL INFO three");
        assert_eq!(found.iter().map(|message| message.text).collect::<Vec<_>>(), ["one two", "three"]);
        assert_eq!(found.iter().map(|message| message.speaker.host).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_message_without_a_speaker_is_still_one() {
        assert_eq!(one("[1] NCCL INFO x").speaker, Speaker { device: Some(1), ..Speaker::default() });
        assert_eq!(one("NCCL WARN x").speaker, Speaker::default());
        assert_eq!(messages("NCCL version 2.21.5+cuda12.4"), []);
    }
}
