//! The readers of `check` by their files, and a door for each target.

mod again;
mod archive;
mod blob;
mod elf;
mod error;
mod fatbin;
mod limits;
mod manifest;
mod markers;
mod meter;
mod note;
mod root;
mod rpm;
mod source;
mod tarball;
mod texts;

pub use error::CheckError;
pub use limits::Limits;

/// One function for each target: bytes in, nothing out; a panic is the finding.
pub mod doors {
    use std::io::Write as _;
    use std::rc::Rc;

    use super::{again, archive, blob, fatbin, limits, manifest, note, root, rpm, texts};

    const LIMITS: limits::Limits = limits::Limits {
        blobs: 64,
        files: 4096,
        kept: 4 << 20,
        path: 4096,
        document: 1 << 20,
        documents: 4 << 20,
        unpacked: 32 << 20,
        ratio: 100,
        ratio_from: 1 << 20,
    };

    fn platform() -> crate::oci::Platform {
        crate::oci::Platform { arch: crate::oci::Arch::Amd64 }
    }

    /// An exported image: the outer archive, its layers, manifest and configuration, joined.
    pub fn image(bytes: &[u8]) {
        if let Ok(contents) = archive::read(bytes, None, &LIMITS) {
            let _any = manifest::join(&contents, platform());
        }
    }

    /// Several layers merged into a root: the first byte says how many pieces the rest is cut into.
    pub fn layer(bytes: &[u8]) {
        let Some((pieces, bytes)) = bytes.split_first() else { return };
        let length = (bytes.len() / (usize::from(*pieces % 4) + 1)).max(1);
        let mut root = root::Root::default();
        let spent = blob::Spent::default();
        for (at, piece) in bytes.chunks(length.next_multiple_of(512)).enumerate() {
            if let Ok(blob) = blob::scan(piece, None, &LIMITS, &spent)
                && let blob::Content::Layer(layer) = blob.content
            {
                root.apply(at + 1, layer.entries);
            }
        }
        let names: Vec<String> = root.names().map(str::to_owned).collect();
        for name in &names {
            let _any = (root.file(name), root.text(name), root.below(name).count());
        }
    }

    /// An ELF file under names of which each asks for other tables.
    pub fn elf(bytes: &[u8]) {
        let mut notes = note::Notes::new();
        for path in ["usr/lib/libnccl.so.2", "opt/libnccl-net.so", "torch/lib/libtorch_cpu.so", "ext.so"] {
            let _any = notes.read(path, bytes.len() as u64, None, &mut &*bytes);
        }
        // The same where the file can be read again.
        let Ok(mut file) = tempfile::tempfile() else { return };
        if file.write_all(bytes).is_ok()
            && let Some(again) = again::Place::all(&Rc::new(file))
        {
            for path in ["opt/libnccl-net.so", "torch/lib/libtorch_cpu.so", "ext.so"] {
                let _any = notes.read(path, bytes.len() as u64, Some(again.clone()), &mut &*bytes);
            }
        }
    }

    /// A section of containers of GPU code.
    pub fn fatbin(bytes: &[u8]) {
        let mut scan = fatbin::Scan::default();
        bytes.chunks(64).for_each(|chunk| scan.feed(chunk));
        let containers = scan.finish();
        let code = containers.attribute(|_| std::iter::once(0..bytes.len() as u64).collect());
        if let Some(code) = code {
            for sm in [70, 80, 90, 100, 103, 120] {
                let _any = code.coverage(sm);
            }
        }
    }

    /// A small text that rules read, under the name of each kind.
    pub fn texts(bytes: &[u8]) {
        let paths = [
            "a-1.dist-info/METADATA",
            "var/lib/dpkg/status",
            "etc/os-release",
            "etc/ld.so.conf",
            "usr/include/nccl.h",
            "root/.aws/credentials",
            "etc/ssh/ssh_host_rsa_key",
            "var/lib/rpm/rpmdb.sqlite",
        ];
        for wanted in paths.into_iter().filter_map(texts::wanted) {
            let _any = wanted.read(&mut &*bytes);
        }
    }

    /// rpm's database in SQLite's form.
    pub fn rpm(bytes: &[u8]) {
        let _any = rpm::parse(bytes);
    }

    /// The documents of an image: manifest list, configuration.
    pub fn manifest(bytes: &[u8]) {
        let mut archive = tar::Builder::new(Vec::new());
        let mut documents = bytes.split(|byte| *byte == 0);
        for path in ["manifest.json", "config.json", "index.json"] {
            let content = documents.next().unwrap_or_default();
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            if archive.append_data(&mut header, path, content).is_err() {
                return;
            }
        }
        if let Ok(archive) = archive.into_inner() {
            image(&archive);
        }
    }
}
