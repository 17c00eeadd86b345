//! Small real parts for images: libraries that the C compiler makes, with GPU code in the documented layout, and an archive of layers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use serde_json::{Value, json};
use smp_image::oci::Digest;

/// The symbol by which a library asks for a version.
const ASKED: &str = "asked";

/// A library to be compiled.
#[derive(Default, Clone)]
pub(super) struct Library {
    pub(super) needed: Vec<&'static str>,
    pub(super) rpath: &'static str,
    /// Texts that stand in it, each between zero bytes.
    pub(super) texts: Vec<String>,
    /// Functions that it defines.
    pub(super) symbols: Vec<&'static str>,
    /// Whether it wants a stack that can be executed.
    pub(super) executable_stack: bool,
    /// Its GPU code.
    pub(super) gpu: Vec<u8>,
    /// Symbols that it wants from others.
    pub(super) undefined: Vec<&'static str>,
    /// The version of its symbols.
    pub(super) defines: &'static str,
    /// A library, and the version of its symbols that this one asks for.
    pub(super) asks: Option<(&'static str, &'static str)>,
}

/// Returns a container of GPU code as `nvcc` writes it: machine code for each of `sass`, PTX for each of `ptx`.
pub(super) fn fatbin(sass: &[u32], ptx: &[u32]) -> Vec<u8> {
    let mut entries = Vec::new();
    for (kind, arch) in sass.iter().map(|arch| (2_u16, arch)).chain(ptx.iter().map(|arch| (1_u16, arch))) {
        let payload = [0_u8; 64];
        let mut head = Vec::new();
        head.extend(kind.to_le_bytes());
        head.extend(0x0101_u16.to_le_bytes());
        head.extend(64_u32.to_le_bytes());
        head.extend((payload.len() as u64).to_le_bytes());
        head.extend([0; 8]);
        head.extend(7_u16.to_le_bytes());
        head.extend(1_u16.to_le_bytes());
        head.extend(arch.to_le_bytes());
        head.extend([0; 8]);
        head.extend(0x11_u64.to_le_bytes());
        head.resize(64, 0);
        entries.extend(head);
        entries.extend(payload);
    }
    let mut container = 0xBA55_ED50_u32.to_le_bytes().to_vec();
    container.extend(1_u16.to_le_bytes());
    container.extend(16_u16.to_le_bytes());
    container.extend((entries.len() as u64).to_le_bytes());
    container.extend(entries);
    container
}

impl Library {
    /// Returns its bytes, compiled once for each content.
    pub(super) fn built(&self) -> Vec<u8> {
        static BUILT: OnceLock<Mutex<BTreeMap<String, Vec<u8>>>> = OnceLock::new();
        let source = self.source();
        let key = format!("{source}\n{:?} {} {} {:?}", self.needed, self.rpath, self.defines, self.asks);
        let mut built = BUILT.get_or_init(Mutex::default).lock().unwrap();
        built.entry(key).or_insert_with(|| self.compile(&source, &[])).clone()
    }

    /// Returns an assembly that has everything but the dynamic section.
    fn source(&self) -> String {
        let mut source = String::from(".section .rodata\n.byte 0\n");
        for text in &self.texts {
            writeln!(source, ".asciz {text:?}").unwrap();
        }
        source += ".text\n";
        for symbol in &self.symbols {
            write!(
                source,
                ".globl {symbol}\n.type {symbol}, @function\n{symbol}:\n.byte 0xc3\n.size {symbol}, 1\n"
            )
            .unwrap();
        }
        for symbol in self.undefined.iter().chain(self.asks.iter().map(|_| &ASKED)) {
            writeln!(source, ".data\n.quad {symbol}").unwrap();
        }
        if !self.gpu.is_empty() {
            let bytes: Vec<String> = self.gpu.iter().map(u8::to_string).collect();
            writeln!(source, ".section .nv_fatbin,\"a\"\n.balign 8\n.byte {}", bytes.join(",")).unwrap();
        }
        let stack = if self.executable_stack { "x" } else { "" };
        writeln!(source, ".section .note.GNU-stack,\"{stack}\",@progbits").unwrap();
        source
    }

    /// Returns its bytes with the name `soname` in them.
    fn built_as(&self, soname: &str) -> Vec<u8> {
        self.compile(&self.source(), &[&format!("-Wl,-soname,{soname}")])
    }

    fn compile(&self, source: &str, more: &[&str]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("a.s"), source).unwrap();
        let mut command = cc();
        command.args(["-shared", "-nostdlib", "-Wl,--no-as-needed", "-o"]).arg(at("out.so")).arg(at("a.s"));
        command.args(more);
        if !self.rpath.is_empty() {
            command.arg(format!("-Wl,--disable-new-dtags,-rpath,{}", self.rpath));
        }
        for soname in &self.needed {
            // Something to link against that has the name and nothing else.
            let stub = at(soname);
            let made = cc()
                .args(["-shared", "-nostdlib", "-x", "c", "/dev/null", "-o"])
                .arg(&stub)
                .arg(format!("-Wl,-soname,{soname}"))
                .status();
            assert!(made.unwrap().success(), "{soname}");
            command.arg(stub);
        }
        if let Some((soname, version)) = self.asks {
            let stub = Self { symbols: vec![ASKED], defines: version, ..Self::default() };
            std::fs::write(at(soname), stub.built_as(soname)).unwrap();
            command.arg(at(soname));
        }
        if !self.defines.is_empty() {
            std::fs::write(at("versions"), format!("{} {{ global: *; }};\n", self.defines)).unwrap();
            command.arg("-Wl,--version-script").arg(at("versions"));
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read(at("out.so")).unwrap()
    }
}

fn cc() -> Command {
    Command::new("cc")
}

/// The files of one layer by path, and links by path and target.
#[derive(Default, Clone)]
pub(super) struct Layer {
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) links: BTreeMap<String, String>,
}

impl Layer {
    pub(super) fn put(&mut self, path: &str, content: impl AsRef<[u8]>) {
        self.files.insert(path.to_owned(), content.as_ref().to_vec());
    }

    fn tar(&self) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, content) in &self.files {
            append(&mut archive, path, content);
        }
        for (path, target) in &self.links {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            archive.append_link(&mut header, path, Path::new(target)).unwrap();
        }
        archive.into_inner().unwrap()
    }
}

/// An image as Docker 20.10 exports it.
#[derive(Clone)]
pub(super) struct Image {
    pub(super) layers: Vec<Layer>,
    pub(super) architecture: &'static str,
    pub(super) env: Vec<String>,
    pub(super) labels: BTreeMap<String, String>,
    /// What the configuration promises of the last layer, if not the truth.
    pub(super) lie: Option<Digest>,
    /// Whether layers are packed with zstd.
    pub(super) zstd: bool,
}

impl Image {
    /// Returns what `docker save` writes.
    pub(super) fn archive(&self) -> Vec<u8> {
        let layers: Vec<Vec<u8>> = self.layers.iter().map(Layer::tar).collect();
        let mut diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
        if let (Some(lie), Some(last)) = (self.lie, diff_ids.last_mut()) {
            *last = lie.to_string();
        }
        let config = json!({
            "architecture": self.architecture, "os": "linux",
            "config": { "Env": self.env, "Labels": self.labels, "WorkingDir": "/workspace" },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": layers.iter().map(|_| json!({ "created_by": "COPY / /" })).collect::<Vec<Value>>(),
        })
        .to_string();
        let mut archive = tar::Builder::new(Vec::new());
        let mut names = Vec::new();
        for (at, layer) in layers.iter().enumerate() {
            let name = format!("{at:064x}/layer.tar");
            let packed = if self.zstd {
                zstd::stream::encode_all(layer.as_slice(), 1).unwrap()
            } else {
                layer.clone()
            };
            append(&mut archive, &name, &packed);
            names.push(name);
        }
        let name = format!("{}.json", Digest::of(&config).hex());
        append(&mut archive, &name, config.as_bytes());
        let manifest = json!([{ "Config": name, "RepoTags": ["seeded:1"], "Layers": names }]).to_string();
        append(&mut archive, "manifest.json", manifest.as_bytes());
        archive.into_inner().unwrap()
    }
}

fn append(archive: &mut tar::Builder<Vec<u8>>, path: &str, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o755);
    archive.append_data(&mut header, path, content).unwrap();
}

/// Asserts that `document` is as `schema` says.
pub(super) fn holds(schema: &Value, document: &Value) {
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("report.json", schema.clone()).unwrap();
    let index = compiler.compile("report.json", &mut schemas).unwrap();
    if let Err(error) = schemas.validate(document, index) {
        panic!("{error:#}");
    }
}
