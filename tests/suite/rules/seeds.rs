//! A sound image of small real parts, and for each rule the image with the fault that it alone finds.

use std::collections::BTreeMap;
use std::sync::Arc;

use smp_image::catalog::Catalog;
use smp_image::check::{Chosen, Target};
use smp_image::lock::Origin;
use smp_image::oci::{Arch, Digest, Platform, Profile};
use smp_image::plan::Expectation;
use smp_image::recipe::{Component, Source};

use super::parts::{Image, Layer, Library, fatbin};

pub(super) const SITE: &str = "opt/venv/lib/python3.11/site-packages";
pub(super) const NCCL: &str = "opt/venv/lib/python3.11/site-packages/nvidia/nccl/lib/libnccl.so.2";
const TORCH: &str = "opt/venv/lib/python3.11/site-packages/torch/lib/libtorch_cuda.so";
const PLUGIN: &str = "opt/amazon/ofi-nccl/lib/libnccl-net.so";
const FABRIC: &str = "opt/amazon/efa/lib/libfabric.so.1";

/// A fault: its name, the rule that finds it, and how the sound image gets it.
pub(super) struct Seed {
    pub(super) rule: &'static str,
    pub(super) name: &'static str,
    pub(super) sow: fn(&mut Image, &mut Target),
}

fn text(text: &str) -> String {
    text.to_owned()
}

/// Returns NCCL of this version with code for `sass`, which takes these versions of the network interface.
pub(super) fn nccl(version: &str, sass: &[u32], takes: &[u32]) -> Library {
    let mut texts = vec![format!("NCCL version {version}+cuda12.4")];
    texts.extend(takes.iter().map(|version| format!("ncclNetPlugin_v{version}")));
    Library { texts, gpu: fatbin(sass, &[]), ..Library::default() }
}

fn torch() -> Library {
    Library {
        needed: vec!["libnccl.so.2"],
        rpath: "$ORIGIN/../../nvidia/nccl/lib:$ORIGIN",
        gpu: fatbin(&[80, 90], &[]),
        ..Library::default()
    }
}

fn plugin(version: &str, symbol: &'static str) -> Library {
    let texts = vec![text("NET/OFI"), format!("aws-ofi-nccl {version}-aws")];
    Library { texts, symbols: vec![symbol], ..Library::default() }
}

/// Returns an image that runs on p5 and p4d, and the target that asks for it.
pub(super) fn sound() -> (Image, Target) {
    let mut base = Layer::default();
    base.put("etc/os-release", "ID=ubuntu\nVERSION_ID=\"22.04\"\n");
    base.put("etc/ld.so.conf.d/000_efa.conf", "/opt/amazon/efa/lib\n/opt/amazon/ofi-nccl/lib\n");
    base.put("opt/amazon/efa_installed_packages", "# EFA installer version: 1.36.0\n");
    base.put("var/lib/dpkg/status", "Package: libefa1\nStatus: install ok installed\nVersion: 54.0\n");
    base.put(FABRIC, Library { needed: vec!["libefa.so.1"], ..Library::default() }.built());
    base.put("usr/lib/x86_64-linux-gnu/libefa.so.1", Library::default().built());
    base.put(PLUGIN, plugin("1.13.2", "ncclNetPlugin_v8").built());
    let mut venv = Layer::default();
    venv.put(&format!("{SITE}/torch/version.py"), "__version__ = '2.5.1'\ncuda: Optional[str] = '12.4'\n");
    let requires = "Requires-Dist: nvidia-nccl-cu12==2.21.5; platform_system == \"Linux\"\n";
    distribution(&mut venv, "torch", "2.5.1", requires);
    distribution(&mut venv, "nvidia_nccl_cu12", "2.21.5", "");
    venv.put(TORCH, torch().built());
    venv.put(NCCL, nccl("2.21.5", &[70, 80, 90], &[5, 6, 7, 8]).built());
    let image = Image {
        layers: vec![base, venv],
        architecture: "amd64",
        env: vec![text("PATH=/opt/venv/bin:/usr/bin")],
        labels: BTreeMap::new(),
        lie: None,
        zstd: false,
    };
    let target = Target::new(Platform { arch: Arch::Amd64 }, Arc::new(Catalog::embedded().unwrap()));
    (image, target.on(["ml.p5.48xlarge", "ml.p4d.24xlarge"], Chosen::Given).unwrap())
}

fn distribution(layer: &mut Layer, name: &str, version: &str, more: &str) {
    let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}\n");
    layer.put(&format!("{SITE}/{name}-{version}.dist-info/METADATA"), metadata);
}

/// Adds Transformer Engine as pip installs it, with the wheels of CUDA 12.
pub(super) fn transformer_engine(layer: &mut Layer, version: &str) {
    distribution(layer, "transformer_engine", version, "");
    distribution(layer, "transformer_engine_cu12", version, "");
    layer.put(&format!("{SITE}/transformer_engine/common/__init__.py"), "");
    for library in [
        "cudnn/lib/libcudnn.so.9",
        "cublas/lib/libcublas.so.12",
        "cuda_nvrtc/lib/libnvrtc.so.12",
        "cuda_runtime/lib/libcudart.so.12",
        "curand/lib/libcurand.so.10",
    ] {
        layer.put(&format!("{SITE}/nvidia/{library}"), Library::default().built());
    }
}

pub(super) fn expect(component: Component, version: &str, distribution: &str) -> Expectation {
    Expectation {
        component,
        version: Some(version.parse().unwrap()),
        origin: Origin::Wheels,
        distributions: vec![text(distribution)],
        packages: Vec::new(),
        libraries: Vec::new(),
    }
}

fn top(image: &mut Image) -> &mut Layer {
    image.layers.last_mut().unwrap()
}

/// Puts an own catalogue in the place of the embedded one: it and `more`.
fn with_facts(target: &mut Target, more: &str) {
    target.catalog = Arc::new(Catalog::with_own(vec![Source::new("my-facts.toml", more)]).unwrap());
}

macro_rules! seeds {
    ($($rule:literal, $name:literal, $sow:expr;)*) => {
        /// Every seeded fault.
        pub(super) const SEEDS: &[Seed] = &[$(Seed { rule: $rule, name: $name, sow: $sow },)*];
    };
}

seeds! {
    "platform-mismatch", "the-configuration-says-arm64", |image, _| image.architecture = "arm64";
    "foreign-binary", "a-library-is-for-arm64", |image, _| {
        let mut library = Library::default().built();
        library[18] = 183;
        top(image).put("usr/lib/libx.so", library);
    };
    "digest-mismatch", "a-layer-unpacks-to-something-else", |image, _| image.lie = Some(Digest::of("another"));
    "gpu-code-missing", "nccl-has-no-code-for-the-gpu", |image, _| {
        top(image).put(NCCL, nccl("2.21.5", &[70, 80], &[5, 6, 7, 8]).built());
    };
    "gpu-code-missing", "an-a-variant-would-be-needed-of-torch", |image, _| {
        top(image).put(TORCH, Library { gpu: fatbin(&[80], &[]), ..torch() }.built());
    };
    "gpu-code-ptx-only", "torch-has-only-ptx", |image, _| {
        top(image).put(TORCH, Library { gpu: fatbin(&[80], &[80]), ..torch() }.built());
    };
    "gpu-code-unknown", "the-gpu-code-of-torch-is-damaged", |image, _| {
        let mut gpu = fatbin(&[80], &[]);
        let entry = gpu.len() / 2;
        gpu.truncate(entry);
        top(image).put(TORCH, Library { gpu, ..torch() }.built());
    };
    "cuda-driver", "no-node-has-a-driver-for-this-cuda", |image, target| {
        with_facts(target, "[[cuda-driver]]\ncuda = \">=12,<13\"\ndriver = \">=900\"\n\
                            fact = { source = \"a test\", date = \"2026-11-24\", confidence = \"documented\" }\n");
        let _ = image;
    };
    "instance-needs", "the-plugin-is-too-old-for-p5", |image, _| {
        image.layers[0].put(PLUGIN, plugin("1.7.1", "ncclNetPlugin_v6").built());
    };
    "component-version", "another-nccl-than-the-lock-says", |_, target| {
        target.expectations = vec![expect(Component::Nccl, "2.26.2", "nvidia-nccl-cu12")];
    };
    "component-missing", "flash-attn-is-not-there", |_, target| {
        target.expectations = vec![expect(Component::FlashAttn, "2.5.8", "flash-attn")];
    };
    "component-unknown", "nothing-says-which-gdrcopy-it-is", |image, target| {
        image.layers[0].put("usr/lib/x86_64-linux-gnu/libgdrapi.so.2", Library::default().built());
        let mut gdrcopy = expect(Component::Gdrcopy, "2.4.2", "gdrcopy");
        gdrcopy.distributions.clear();
        gdrcopy.libraries = vec![text("libgdrapi.so.2")];
        target.expectations = vec![gdrcopy];
    };
    "component-twice", "two-pytorch-distributions", |image, target| {
        let mut second = Layer::default();
        second.put("usr/lib/python3/dist-packages/torch-2.3.1.dist-info/METADATA", "Name: torch\nVersion: 2.3.1\n");
        image.layers.push(second);
        target.expectations = vec![expect(Component::Pytorch, "2.5.1", "torch")];
    };
    "declared-version", "the-environment-says-another-nccl", |image, _| image.env.push(text("NCCL_VERSION=2.26.2-1"));
    "declared-version", "the-header-beside-nccl-is-of-another", |image, _| {
        top(image).put(
            &format!("{SITE}/nvidia/nccl/include/nccl.h"),
            "#define NCCL_MAJOR 2\n#define NCCL_MINOR 23\n#define NCCL_PATCH 4\n",
        );
    };
    "nccl-twice", "the-system-has-another-nccl", |image, _| {
        image.layers[0].put("usr/lib/x86_64-linux-gnu/libnccl.so.2", nccl("2.23.4", &[80, 90], &[5, 6, 7, 8]).built());
    };
    "nccl-plugin", "the-plugin-is-on-no-path", |image, _| {
        image.layers[0].put("etc/ld.so.conf.d/000_efa.conf", "/opt/amazon/efa/lib\n");
    };
    "nccl-plugin", "two-plugins-of-two-versions", |image, _| {
        image.layers[0].put("usr/local/lib/libnccl-net.so", plugin("1.12.1", "ncclNetPlugin_v8").built());
    };
    "plugin-interface", "plugin-and-nccl-share-no-interface", |image, _| {
        image.layers[0].put(PLUGIN, plugin("1.13.2", "ncclNetPlugin_v4").built());
    };
    "plugin-older", "nccl-is-newer-than-the-plugin-was-tested-with", |image, _| {
        let venv = top(image);
        venv.files.retain(|path, _| !path.contains("nvidia_nccl_cu12") && !path.contains("torch-2.5.1"));
        distribution(venv, "nvidia_nccl_cu12", "2.27.5", "");
        distribution(venv, "torch", "2.5.1", "Requires-Dist: nvidia-nccl-cu12==2.27.5\n");
        venv.put(NCCL, nccl("2.27.5", &[80, 90], &[6, 7, 8, 9, 10]).built());
    };
    "library-missing", "torch-asks-for-libnuma", |image, _| {
        let needed = vec!["libnccl.so.2", "libnuma.so.1", "libcuda.so.1"];
        top(image).put(TORCH, Library { needed, ..torch() }.built());
    };
    "library-missing", "the-plugin-asks-for-libhwloc", |image, _| {
        let plugin = Library { needed: vec!["libhwloc.so.15"], ..plugin("1.13.2", "ncclNetPlugin_v8") };
        image.layers[0].put(PLUGIN, plugin.built());
    };
    "library-missing", "a-module-of-python-asks-for-libgomp", |image, _| {
        let module = Library { needed: vec!["libgomp.so.1", "libnvjpeg.so.12"], ..Library::default() };
        top(image).put(&format!("{SITE}/sklearn/_loss.cpython-311-x86_64-linux-gnu.so"), module.built());
    };
    "library-missing", "an-extension-of-torch-asks-for-libgomp", |image, _| {
        let module = Library { needed: vec!["libtorch_cuda.so", "libgomp.so.1", "libavutil.so.58"], ..Library::default() };
        top(image).put(&format!("{SITE}/grouped_gemm/_C.cpython-311-x86_64-linux-gnu.so"), module.built());
    };
    "symbol-version", "nccl-was-built-for-a-newer-libc", |image, _| {
        let libc = Library { symbols: vec!["asked"], defines: "GLIBC_2.31", ..Library::default() };
        image.layers[0].put("usr/lib/x86_64-linux-gnu/libc.so.6", libc.built());
        let library = nccl("2.21.5", &[70, 80, 90], &[5, 6, 7, 8]);
        top(image).put(NCCL, Library { asks: Some(("libc.so.6", "GLIBC_2.38")), ..library }.built());
    };
    "torch-interface", "torchvision-was-built-for-another-torch", |image, _| {
        let symbols = vec!["_ZN3c105ErrorD1Ev", "_ZN2at4_ops5zeros4callEv"];
        top(image).put(&format!("{SITE}/torch/lib/libc10.so"), Library { symbols, ..Library::default() }.built());
        let undefined = vec!["_ZN3c105ErrorD1Ev", "_ZN3c106detail14torchCheckFailEv"];
        let extension = Library { needed: vec!["libc10.so"], undefined, ..Library::default() };
        top(image).put(&format!("{SITE}/torchvision/_C.so"), extension.built());
    };
    "executable-stack", "nccl-wants-one-from-glibc-2.41", |image, _| {
        let libc = Library { symbols: vec!["asked"], defines: "GLIBC_2.41", ..Library::default() };
        image.layers[0].put("usr/lib/x86_64-linux-gnu/libc.so.6", libc.built());
        let library = nccl("2.21.5", &[70, 80, 90], &[5, 6, 7, 8]);
        top(image).put(NCCL, Library { executable_stack: true, ..library }.built());
    };
    "library-unread", "libfabric-has-no-table-of-sections", |image, _| {
        let mut bytes = Library { needed: vec!["libefa.so.1"], ..Library::default() }.built();
        bytes[40..48].fill(0);
        bytes[60..64].fill(0);
        image.layers[0].put(FABRIC, bytes);
    };
    "opened-by-name", "the-plugin-opens-libcudart-so", |image, _| {
        let mut library = plugin("1.13.2", "ncclNetPlugin_v8");
        library.texts.push(text("libcudart.so"));
        image.layers[0].put(PLUGIN, library.built());
        top(image).put("usr/lib/x86_64-linux-gnu/libcudart.so.12", Library::default().built());
    };
    "efa-provider", "libfabric-was-built-without-efa", |image, _| {
        image.layers[0].put(FABRIC, Library::default().built());
    };
    "efa-distribution", "the-installer-dropped-this-ubuntu", |image, _| {
        image.layers[0].put("etc/os-release", "ID=ubuntu\nVERSION_ID=\"20.04\"\n");
        image.layers[0].put("opt/amazon/efa_installed_packages", "# EFA installer version: 1.43.0\n");
    };
    "half-installed", "an-efa-package-is-half-installed", |image, _| {
        let status = "Package: efa-profile\nStatus: install reinstreq half-installed\nVersion: 1.7\n";
        image.layers[0].put("var/lib/dpkg/status", status);
    };
    "cuda-compat", "the-compat-folder-is-on-the-path", |image, _| {
        image.layers[0].put("usr/local/cuda-12.4/compat/libcuda.so.1", Library::default().built());
        image.env.push(text("LD_LIBRARY_PATH=/usr/local/cuda-12.4/compat:/opt/amazon/efa/lib"));
    };
    "transport-variable", "rdma-is-asked-for-on-g5", |image, target| {
        image.env.push(text("FI_EFA_USE_DEVICE_RDMA=1"));
        *target = target.clone().on(["ml.g5.8xlarge"], Chosen::Given).unwrap();
    };
    "transport-variable", "the-protocol-is-baked-in", |image, _| image.env.push(text("NCCL_PROTO=simple"));
    "python-requirement", "nccl-was-moved-under-torch", |image, _| {
        let venv = top(image);
        venv.files.retain(|path, _| !path.contains("nvidia_nccl_cu12"));
        distribution(venv, "nvidia_nccl_cu12", "2.23.4", "");
        venv.put(NCCL, nccl("2.23.4", &[80, 90], &[5, 6, 7, 8]).built());
    };
    "python-requirement", "transformer-engine-torch-came-without-einops", |image, _| {
        distribution(top(image), "transformer_engine_torch", "2.20.2", "Requires-Dist: torch>=2.1\nRequires-Dist: einops\n");
    };
    "transformer-engine-parts", "its-packages-have-two-versions", |image, _| {
        distribution(top(image), "transformer_engine", "2.1.0", "");
        distribution(top(image), "transformer_engine_cu12", "2.0.0", "");
    };
    "transformer-engine-import", "cuda-12-comes-from-wheels-alone", |image, _| transformer_engine(top(image), "2.20.2");
    "transformer-engine-import", "nobody-brings-curand", |image, _| {
        transformer_engine(top(image), "2.8.0");
        top(image).files.retain(|path, _| !path.contains("curand"));
    };
    "stock-pytorch", "the-stock-wheel-lies-over-smp", |image, _| {
        let record = "opt/conda/conda-meta/pytorch-2.5.1-sm_py3.11_cuda12.4_cudnn9.4.0_nccl_pt_2.5_tsm_2.8_cuda12.4_0.json";
        image.layers[0].put(record, "{}");
    };
    "media-type", "zstd-is-packed-for-sagemaker", |image, target| {
        image.zstd = true;
        target.profile = Some(Profile::SageMaker);
    };
    "layer-count", "there-are-too-many-layers", |image, _| {
        for at in 0..124 {
            let mut layer = Layer::default();
            layer.put(&format!("srv/{at}"), "x");
            image.layers.push(layer);
        }
    };
    "label-size", "a-manifest-in-a-label", |image, _| {
        image.labels.insert(text("org.example.manifest"), "x".repeat(5000));
    };
    "wasted-space", "a-large-file-is-overwritten", |image, _| {
        image.layers[0].put("opt/model.bin", vec![1; 30_000_000]);
        top(image).put("opt/model.bin", "small");
    };
    "duplicate-content", "a-library-is-there-twice", |image, _| {
        let mut large = Library::default().built();
        large.resize(17 << 20, 0);
        top(image).put(&format!("{SITE}/nvidia/cublas/lib/libcublas.so.12"), &large);
        top(image).put("usr/local/cuda/lib64/libcublas.so.12", &large);
    };
    "cache-left-behind", "the-pip-cache-stayed", |image, _| top(image).put("root/.cache/pip/http/a", vec![0; 2 << 20]);
    "ca-bundle", "the-company-s-certificates-stayed", |image, _| top(image).put("tmp/ca-bundle.crt", "x");
    "secret", "a-token-in-the-environment", |image, _| image.env.push(text("HF_TOKEN=hunter2hunter2"));
    "private-key", "a-host-key-was-made-at-build", |image, _| {
        top(image).put("etc/ssh/ssh_host_ed25519_key", "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n");
    };
    "private-key", "credentials-in-a-layer", |image, _| {
        top(image).put("root/.aws/credentials", "[default]\naws_secret_access_key = hunter2\n");
    };
    "replaced-link", "lib-becomes-a-folder", |image, _| {
        image.layers[0].links.insert(text("lib"), text("usr/lib"));
        let mut over = Layer::default();
        over.put("lib/liby.so", Library::default().built());
        image.layers.push(over);
    };
}
