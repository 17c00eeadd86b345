//! Bytes that have passed can be read again where an archive is a file. Of a library then only the few pieces are read that hold
//! answers; in a stream its tables must be kept until its end says where in them the answers are.
//!
//! What is verified and counted are the bytes that pass; a piece that is read again is of the same file.

use std::fs::File;
use std::io;
use std::rc::Rc;

/// A part of a file: a blob of an archive, a file in a layer.
#[derive(Debug, Clone)]
pub(super) struct Place {
    file: Rc<File>,
    start: u64,
    size: u64,
}

impl Place {
    /// Returns all of `file`; none where it cannot be read again, such as a pipe that was opened by its name.
    pub(super) fn all(file: &Rc<File>) -> Option<Self> {
        let size = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
        cfg!(unix).then(|| Self { file: Rc::clone(file), start: 0, size })
    }

    /// Returns the part of `size` bytes from `at` on.
    pub(super) fn part(&self, at: u64, size: u64) -> Self {
        let size = size.min(self.size.saturating_sub(at));
        Self { file: Rc::clone(&self.file), start: self.start.saturating_add(at), size }
    }

    /// Fills `buffer` from the byte at `at` of this part on and returns how far; less than its length only at the end.
    pub(super) fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(at)).unwrap_or(usize::MAX);
        let end = buffer.len().min(left);
        let mut filled = 0;
        while filled < end {
            match read_at(&self.file, &mut buffer[filled..end], self.start + at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, at)
}

/// Elsewhere reading at a place moves the place where reading goes on.
#[cfg(not(unix))]
fn read_at(_: &File, _: &mut [u8], _: u64) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_part_ends_where_it_ends_also_when_the_file_goes_on() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let all = Place::all(&Rc::new(file)).unwrap();
        let read = |place: &Place, at| {
            let mut buffer = [0; 4];
            let filled = place.read(at, &mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..filled]).into_owned()
        };
        let part = all.part(2, 5);
        assert_eq!([read(&part, 0), read(&part, 3), read(&part, 9)], ["2345", "56", ""]);
        let inner = part.part(1, 100);
        assert_eq!([read(&inner, 0), read(&inner, 2), read(&all.part(11, 4), 0)], ["3456", "56", ""]);
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_cannot_be_read_again() {
        let (reader, _writer) = io::pipe().unwrap();
        assert!(Place::all(&Rc::new(File::from(std::os::fd::OwnedFd::from(reader)))).is_none());
    }
}
