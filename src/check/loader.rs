//! Which file a program gets when it asks for a library: the search of glibc's loader over the merged root (ld.so(8)).

use super::elf::Dynamic;
use super::rules::Image;

/// Where the loader looks whatever the image says, on x86-64 and 64-bit Arm.
const DEFAULTS: [&str; 8] = [
    "lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu",
    "lib/aarch64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "lib64",
    "usr/lib64",
    "lib",
    "usr/lib",
];

/// The loader's search in an image.
pub(super) struct Loader<'a> {
    image: &'a Image,
    preload: Vec<&'a str>,
    library_path: Vec<&'a str>,
    configured: Vec<&'a str>,
}

/// Who asks for a library: its path in the image and what its file says.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) path: &'a str,
    pub(super) dynamic: Option<&'a Dynamic>,
}

impl<'a> Loader<'a> {
    /// Returns the loader of `image`, with the environment of its configuration.
    pub(super) fn of(image: &'a Image) -> Self {
        let variable = |name: &str| {
            let lines = image.config.run.env.iter();
            lines
                .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='))
                .next_back()
                .unwrap_or_default()
        };
        let configured = image.root.files().filter(|(path, ..)| path.starts_with("etc/ld.so.conf"));
        let lines =
            configured.filter_map(|(_, note, _)| note.text.as_ref()).flat_map(|text| text.lines.lines());
        let folder = |line: &'a str| Some(line.trim()).filter(|line| line.starts_with('/'));
        Self {
            image,
            preload: variable("LD_PRELOAD").split([':', ' ']).filter(|name| !name.is_empty()).collect(),
            library_path: variable("LD_LIBRARY_PATH")
                .split(':')
                .filter(|folder| folder.starts_with('/'))
                .collect(),
            configured: lines.filter_map(folder).collect(),
        }
    }

    /// Returns the real path of the file that `asker` gets for `name`; a program, where nobody asks.
    pub(super) fn find(&self, asker: Option<Asker<'_>>, name: &str) -> Option<String> {
        if let Some(path) = self.preload.iter().find(|path| path.rsplit('/').next() == Some(name)) {
            return self.image.root.real(path);
        }
        if name.contains('/') {
            return self.image.root.real(name);
        }
        let dynamic = asker.and_then(|asker| asker.dynamic);
        let own = |list: Option<&str>| -> Vec<String> {
            let origin = asker.and_then(|asker| asker.path.rsplit_once('/')).map_or("", |(folder, _)| folder);
            let expand = |folder: &str| folder.replace("$ORIGIN", origin).replace("${ORIGIN}", origin);
            list.into_iter().flat_map(|list| list.split(':')).map(expand).collect()
        };
        let runpath = dynamic.and_then(|dynamic| dynamic.runpath.as_deref());
        let rpath = dynamic.and_then(|dynamic| dynamic.rpath.as_deref()).filter(|_| runpath.is_none());
        let said = |folders: &[&str]| folders.iter().map(|&folder| folder.to_owned()).collect::<Vec<_>>();
        let order =
            [own(rpath), said(&self.library_path), own(runpath), said(&self.configured), said(&DEFAULTS)];
        order.iter().flatten().find_map(|folder| self.image.root.real(&format!("{folder}/{name}")))
    }
}
