//! GPU architectures and which code runs on which.

use std::fmt;

use super::GpuCode;

/// An architecture for which code was compiled, such as `sm_90a`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arch {
    /// The compute capability without its dot: 90 for H100, 100 for B200.
    pub(crate) sm: u32,
    /// Which other devices of the generation it runs on.
    pub(crate) variant: Variant,
}

/// How far code for an architecture reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Variant {
    /// Later devices of the same major version.
    Base,
    /// `a`: this device alone; PTX too.
    Specific,
    /// `f`: this device and later ones of its family.
    Family,
}

/// Whether a GPU can run the code of a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coverage {
    /// It was compiled for this GPU.
    Native,
    /// Machine code of an earlier device of the same major version runs.
    Compatible(Arch),
    /// The driver compiles PTX when the library is loaded: slow at first, and not tuned for the GPU.
    Jit(Arch),
    /// No code in it runs there.
    No,
    /// Not all of it could be read, and nothing that was read runs there.
    Unknown,
}

impl Arch {
    /// Returns the major compute capability.
    pub(crate) fn major(self) -> u32 {
        self.sm / 10
    }

    /// Returns whether machine code for it runs on a GPU of capability `sm`.
    fn runs_on(self, sm: u32) -> bool {
        match self.variant {
            Variant::Specific => self.sm == sm,
            Variant::Base => self.major() == sm / 10 && self.sm <= sm,
            // The table of llvm/llvm-project#141899: sm_10x and sm_12x are families, with their later devices; sm_101 stands alone.
            Variant::Family => {
                let alone = self.sm == 101 || sm == 101;
                self.sm == sm || (!alone && self.major() == sm / 10 && self.sm < sm)
            }
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variant = match self.variant {
            Variant::Base => "",
            Variant::Specific => "a",
            Variant::Family => "f",
        };
        write!(f, "sm_{}{variant}", self.sm)
    }
}

/// Returns whether a GPU of capability `sm` can run `code`, and on which of it.
pub(super) fn coverage(code: &GpuCode, sm: u32) -> Coverage {
    let running = || code.sass.iter().copied().filter(|arch| arch.runs_on(sm));
    if running().any(|arch| arch.sm == sm) {
        return Coverage::Native;
    }
    if let Some(arch) = running().max() {
        return Coverage::Compatible(arch);
    }
    let compiles = |arch: &Arch| match arch.variant {
        Variant::Base => arch.sm <= sm,
        Variant::Specific | Variant::Family => arch.runs_on(sm),
    };
    if let Some(arch) = code.ptx.iter().copied().filter(compiles).max() {
        return Coverage::Jit(arch);
    }
    if code.unreadable.is_some() { Coverage::Unknown } else { Coverage::No }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arch(text: &str) -> Arch {
        let (digits, variant) = match text.as_bytes().last() {
            Some(b'a') => (&text[..text.len() - 1], Variant::Specific),
            Some(b'f') => (&text[..text.len() - 1], Variant::Family),
            _ => (text, Variant::Base),
        };
        Arch { sm: digits.parse().unwrap(), variant }
    }

    fn code(sass: &[&str], ptx: &[&str]) -> GpuCode {
        let set = |names: &[&str]| names.iter().map(|name| arch(name)).collect();
        GpuCode { sass: set(sass), ptx: set(ptx), ..GpuCode::default() }
    }

    #[test]
    fn machine_code_runs_on_its_own_device_and_on_later_ones_of_its_major_version() {
        let library = code(&["80", "90"], &[]);
        assert_eq!(library.coverage(90), Coverage::Native);
        assert_eq!(library.coverage(86), Coverage::Compatible(arch("80")));
        assert_eq!(library.coverage(75), Coverage::No);
        assert_eq!(library.coverage(100), Coverage::No);
        assert_eq!(code(&["86"], &[]).coverage(80), Coverage::No);
    }

    #[test]
    fn specific_code_runs_on_no_other_device_not_even_as_ptx() {
        assert_eq!(code(&["90a"], &["90a"]).coverage(90), Coverage::Native);
        assert_eq!(code(&["100a"], &["100a"]).coverage(103), Coverage::No);
        assert_eq!(code(&[], &["90a"]).coverage(100), Coverage::No);
    }

    #[test]
    fn family_code_runs_on_the_devices_of_its_family() {
        assert_eq!(code(&["100f"], &[]).coverage(103), Coverage::Compatible(arch("100f")));
        assert_eq!(code(&["100f"], &[]).coverage(110), Coverage::No);
        assert_eq!(code(&["100f"], &[]).coverage(101), Coverage::No);
        assert_eq!(code(&["120f"], &[]).coverage(121), Coverage::Compatible(arch("120f")));
    }

    #[test]
    fn ptx_is_compiled_for_later_devices_of_any_major_version() {
        let library = code(&["70"], &["70", "90"]);
        assert_eq!(library.coverage(100), Coverage::Jit(arch("90")));
        assert_eq!(library.coverage(80), Coverage::Jit(arch("70")));
        assert_eq!(library.coverage(61), Coverage::No);
    }

    #[test]
    fn what_could_not_be_read_is_unknown_unless_what_was_read_suffices() {
        let mut library = code(&["80"], &[]);
        library.unreadable = Some("a container is cut off".into());
        assert_eq!(library.coverage(80), Coverage::Native);
        assert_eq!(library.coverage(90), Coverage::Unknown);
    }
}
