//! Whether programs of a platform can be started where BuildKit builds: one is.
//!
//! What BuildKit lists is no answer. It adds a platform when an emulator appears and never takes it away, so a machine that lost its
//! emulator goes on being listed; and a platform may be configured by hand. So the smallest program of the platform, which ends at once,
//! is written into an empty root and run there: no image, no network, no session, nothing kept.

use std::collections::{BTreeMap, HashMap};

use bollard_buildkit_proto::moby::buildkit::v1::SolveRequest;
use bollard_buildkit_proto::pb::{self, file_action, op};
use prost::Message as _;

use super::solve::random_id;
use super::{Door, Opened};
use crate::engine::EngineError;
use crate::engine::http::within;
use crate::oci::{Arch, Digest, Platform};

/// How long the trial may take; under an emulator it takes a tenth of a second.
pub(super) const LIMIT: std::time::Duration = std::time::Duration::from_mins(1);

/// What is said to be done.
pub(super) const TRYING: &str = "trying whether programs of the image can be started";

/// Where the program lies.
pub(super) const PROGRAM: &str = "smp-image-trial";

/// How BuildKit of today and of Docker 20.10 says that a program could not be started, or ended badly.
const FAILED: &[&str] = &["did not complete successfully", "executor failed running", "exec format error"];

/// Returns whether the words of a builder say that the program could not be started.
pub(super) fn says_no(words: &str) -> bool {
    FAILED.iter().any(|known| words.contains(known))
}

/// Starts a program of `platform` where the BuildKit behind `door` builds; whether that went well.
pub(in crate::engine) async fn runs(door: &Door, platform: Platform) -> Result<bool, EngineError> {
    let Opened { mut client, connection, .. } = door.control(TRYING).await?;
    let request = SolveRequest {
        r#ref: random_id(),
        definition: Some(definition(platform)),
        internal: true,
        // Nothing is exported: what came of it is dropped when the call ends.
        frontend_attrs: HashMap::new(),
        ..SolveRequest::default()
    };
    let gone = || EngineError::Died {
        endpoint: door.endpoint(),
        doing: TRYING.to_owned(),
        reason: "it closed the connection".to_owned(),
    };
    let solved = within(LIMIT, TRYING, async {
        tokio::select! {
            solved = client.solve(request) => Ok(solved),
            _ended = connection => Err(gone()),
        }
    });
    match solved.await? {
        Ok(_) => Ok(true),
        Err(status) if says_no(status.message()) => Ok(false),
        Err(status) => {
            Err(EngineError::Protocol { doing: TRYING.to_owned(), reason: status.message().to_owned() })
        }
    }
}

/// Returns what BuildKit is to do: write the program, run it, and never from a cache.
fn definition(platform: Platform) -> pb::Definition {
    let wanted = pb::Platform {
        os: "linux".to_owned(),
        architecture: platform.arch.name().to_owned(),
        ..pb::Platform::default()
    };
    let file = pb::FileActionMkFile {
        path: format!("/{PROGRAM}"),
        mode: 0o755,
        data: program(platform.arch),
        timestamp: -1,
        owner: None,
    };
    let action = pb::FileAction {
        input: -1,
        secondary_input: -1,
        output: 0,
        action: Some(file_action::Action::Mkfile(file)),
    };
    let write = pb::Op {
        platform: Some(wanted.clone()),
        op: Some(op::Op::File(pb::FileOp { actions: vec![action] })),
        ..pb::Op::default()
    };
    let root = pb::Mount { input: 0, dest: "/".to_owned(), output: 0, ..pb::Mount::default() };
    let meta = pb::Meta { args: vec![format!("/{PROGRAM}")], cwd: "/".to_owned(), ..pb::Meta::default() };
    let exec = pb::ExecOp {
        meta: Some(meta),
        mounts: vec![root],
        network: pb::NetMode::None.into(),
        ..pb::ExecOp::default()
    };
    let mut all = Graph::default();
    let written = all.add(&write);
    let run = pb::Op {
        inputs: vec![pb::Input { digest: written, index: 0 }],
        platform: Some(wanted),
        op: Some(op::Op::Exec(exec)),
        ..pb::Op::default()
    };
    let ran = all.add(&run);
    // The last one has nothing but the result as its input.
    let result = pb::Op { inputs: vec![pb::Input { digest: ran, index: 0 }], ..pb::Op::default() };
    all.add(&result);
    pb::Definition { def: all.operations, metadata: all.metadata, source: None }
}

/// A graph of operations, in order.
#[derive(Default)]
struct Graph {
    operations: Vec<Vec<u8>>,
    metadata: BTreeMap<String, pb::OpMetadata>,
}

impl Graph {
    /// Adds an operation and returns what the next ones call it.
    fn add(&mut self, operation: &pb::Op) -> String {
        let bytes = operation.encode_to_vec();
        let digest = Digest::of(&bytes).to_string();
        self.metadata
            .insert(digest.clone(), pb::OpMetadata { ignore_cache: true, ..pb::OpMetadata::default() });
        self.operations.push(bytes);
        digest
    }
}

/// Returns a program for Linux that ends with 0 and does nothing else: the head of an ELF file, one segment, three instructions.
pub(super) fn program(arch: Arch) -> Vec<u8> {
    /// Where the one segment is loaded.
    const BASE: u64 = 0x40_0000;
    /// The sizes of the two headers before the instructions.
    const HEADERS: (u16, u16) = (64, 56);
    let (machine, code): (u16, &[u8]) = match arch {
        // xor edi, edi; mov eax, 60 (exit); syscall
        Arch::Amd64 => (62, &[0x31, 0xff, 0xb8, 0x3c, 0, 0, 0, 0x0f, 0x05]),
        // mov x0, 0; mov x8, 93 (exit); svc 0
        Arch::Arm64 => (183, &[0, 0, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 1, 0, 0, 0xd4]),
    };
    let start = u64::from(HEADERS.0) + u64::from(HEADERS.1);
    let size = start + code.len() as u64;
    // ELF, 64 bits, little endian, version 1, System V.
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut halves = |values: &[u16]| values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    halves(&[2, machine, 1, 0]);
    let mut words = |values: &[u64]| values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    // The first instruction, the table of segments, no table of sections.
    words(&[BASE + start, u64::from(HEADERS.0), 0]);
    let mut halves = |values: &[u16]| values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    // No flags; the sizes of the headers; one segment, no sections. Then the segment: to load, to read and to execute.
    halves(&[0, 0, HEADERS.0, HEADERS.1, 1, 0, 0, 0, 1, 0, 5, 0]);
    let mut words = |values: &[u64]| values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    words(&[0, BASE, BASE, size, size, 0x1_0000]);
    bytes.extend(code);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_one_of_its_platform_whose_first_instruction_is_in_its_segment() {
        use object::{Architecture, Object as _, ObjectSegment as _};
        for (arch, machine) in [(Arch::Amd64, Architecture::X86_64), (Arch::Arm64, Architecture::Aarch64)] {
            let bytes = program(arch);
            let file = object::read::elf::ElfFile64::<object::Endianness>::parse(bytes.as_slice()).unwrap();
            assert_eq!(file.architecture(), machine);
            let segment = file.segments().next().unwrap();
            let loaded = segment.address()..segment.address() + segment.size();
            assert!(loaded.contains(&file.entry()) && segment.size() == bytes.len() as u64);
        }
    }

    #[test]
    fn each_platform_is_another_graph_and_nothing_of_it_comes_from_a_cache() {
        let graphs = [Arch::Amd64, Arch::Arm64].map(|arch| definition(Platform { arch }));
        assert_ne!(graphs[0].def, graphs[1].def);
        for graph in graphs {
            assert_eq!((graph.def.len(), graph.metadata.len()), (3, 3));
            assert!(graph.metadata.values().all(|metadata| metadata.ignore_cache));
        }
    }

    #[test]
    fn a_program_that_could_not_be_started_is_no_builder_that_broke() {
        assert!(says_no("process \"/smp-image-trial\" did not complete successfully: exit code: 1"));
        assert!(says_no("executor failed running [/smp-image-trial]: exit code: 1"));
        assert!(!says_no("failed to solve: no space left on device"));
    }
}
