#!/usr/bin/env python3
"""Holds our list of GPU architectures against NVIDIA's cuobjdump on real libraries from PyPI, and prints a table.

oracle.py [--small] [--wheels FOLDER] [PROGRAM]

PROGRAM prints what we read (`cargo run --example architectures`; default: target/release/examples/architectures, else the debug build).
--small takes the wheels below 20 MB. Wheels are kept in FOLDER and downloaded only where they are missing; one library is unpacked at a time.
"""
import argparse, json, pathlib, re, shutil, subprocess, sys, tempfile, zipfile

REPO = pathlib.Path(__file__).resolve().parent.parent
# The newest refuses code for GPUs that CUDA gave up (sm_35 of CUDA 11.8): then an older one is asked, which triton's wheel carries.
CUOBJDUMPS = ["nvidia-cuda-cuobjdump==13.3.73", "triton==3.1.0"]
# Each: what is downloaded, and which of its libraries is compared.
SMALL = [
    ("nvidia-nvjpeg-cu11==11.9.0.86", "libnvjpeg.so"),
    ("nvidia-nvjpeg-cu12==12.4.0.76", "libnvjpeg.so"),
    ("nvidia-nvjpeg==13.3.2.43", "libnvjpeg.so"),
    ("nvidia-nvtiff-cu12==0.8.0.82", "libnvtiff.so"),
    ("torchvision==0.20.1", "_C.so"),
    ("torchao==0.13.0", "_C"),
]
LARGE = [
    *((f"nvidia-nccl-cu12=={version}", "libnccl.so") for version in ("2.21.5", "2.23.4", "2.26.2", "2.27.3", "2.27.5", "2.28.9", "2.30.7", "2.31.2", "2.32.3")),
    *((f"nvidia-nccl-cu13=={version}", "libnccl.so") for version in ("2.27.7", "2.28.9", "2.30.7", "2.32.3")),
    ("transformer-engine-cu13==2.14.1", "libtransformer_engine.so"),
    ("nvidia-curand-cu11==10.3.0.86", "libcurand.so"),
    ("nvidia-curand-cu12==10.3.10.19", "libcurand.so"),
    ("nvidia-curand==10.4.5.25", "libcurand.so"),
    ("nvidia-cusparselt-cu12==0.8.1", "libcusparseLt.so"),
    ("nvidia-nvshmem-cu12==3.8.0", "libnvshmem_host.so"),
    ("nvidia-cudnn-cu12==9.1.0.70", "libcudnn"),
    ("bitsandbytes==0.48.1", "libbitsandbytes_cuda"),
    ("torch==2.5.1", "libtorch_cuda"),
    ("xformers==0.0.28.post3", "_C"),
]


def wheel(requirement, folder):
    name, version = requirement.split("==")
    pattern = f"{name.replace('-', '_')}-{version}*.whl"
    if not list(folder.glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--python-version", "3.11", "-d", folder, requirement]
        subprocess.run(command, check=True)
    return next(folder.glob(pattern))


def cuobjdump(requirement, folder, wheels):
    """Unpacks the cuobjdump of a wheel and returns it."""
    dump = folder / f"cuobjdump-{requirement}"
    with zipfile.ZipFile(wheel(requirement, wheels)) as archive:
        dump.write_bytes(archive.read(next(name for name in archive.namelist() if name.endswith("bin/cuobjdump"))))
    dump.chmod(0o755)
    return dump


def asked_of(dumps, library):
    """What the first cuobjdump that takes the library lists, machine code and PTX, and how many refused it; their words where all do."""
    for refusals, dump in enumerate(dumps):
        sass, ptx = named(dump, library, "elf"), named(dump, library, "ptx")
        if not isinstance(sass, str) and not isinstance(ptx, str):
            return sass, ptx, refusals
    return sass, ptx, len(dumps)


def named(dump, library, what):
    """The architectures that cuobjdump lists; where it refuses the library, its words."""
    done = subprocess.run([dump, f"--list-{what}", library], capture_output=True, text=True)
    for line in (done.stdout + done.stderr).splitlines():
        if "fatal" in line:
            return line
    return {match for match in re.findall(r"\.(sm_\d+[a-z]?)\.(?:cubin|ptx)\b", done.stdout)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--cached", action="store_true", help="only wheels that are in FOLDER")
    parser.add_argument("--wheels", type=pathlib.Path, default=REPO / "target/wheels")
    builds = [REPO / f"target/{profile}/examples/architectures" for profile in ("release", "debug")]
    parser.add_argument("program", nargs="?", type=pathlib.Path, default=next((path for path in builds if path.exists()), builds[0]))
    asked = parser.parse_args()
    asked.wheels.mkdir(parents=True, exist_ok=True)
    wrong = agreed = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        dumps = [cuobjdump(requirement, folder, asked.wheels) for requirement in CUOBJDUMPS]
        for dump in dumps:
            version = subprocess.run([dump, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[-1]
            print(f"{dump.name}: {version}")
        for requirement, wanted in SMALL if asked.small else SMALL + LARGE:
            if asked.cached and not list(asked.wheels.glob(requirement.replace("-", "_").replace("==", "-") + "*.whl")):
                continue
            with zipfile.ZipFile(wheel(requirement, asked.wheels)) as archive:
                for member in archive.namelist():
                    name = pathlib.Path(member).name
                    if not (name.startswith(wanted) and ".so" in name):
                        continue
                    path = folder / name
                    with archive.open(member) as source, open(path, "wb") as target:
                        shutil.copyfileobj(source, target, 1 << 20)
                    ours = json.loads(subprocess.run([asked.program, path], capture_output=True, text=True, check=True).stdout)
                    ours = ours or {"sass": [], "ptx": [], "flags": []}
                    sass, ptx, refusals = asked_of(dumps, path)
                    # cuobjdump does not name the variant f (NVIDIA/TensorRT-LLM#19069).
                    plain = lambda names: {re.sub("f$", "", name) for name in names}
                    if isinstance(sass, str) or isinstance(ptx, str):
                        refused += 1
                        verdict = next(words for words in (sass, ptx) if isinstance(words, str))
                    elif (plain(ours["sass"]), plain(ours["ptx"])) == (sass, ptx) and "unreadable" not in ours["flags"]:
                        agreed += 1
                        verdict = "equal, by the older one" if refusals else "equal"
                    else:
                        wrong += 1
                        verdict = f"DIFFERENT: cuobjdump says {sorted(sass)} and PTX {sorted(ptx)}"
                    print(f"{requirement:34} {name:38} {path.stat().st_size >> 20:5} MiB  {' '.join(ours['sass'])} | {' '.join(ours['ptx'])} | {' '.join(ours['flags'])}  {verdict}", flush=True)
                    path.unlink()
    print(f"{agreed} libraries equal, {wrong} different, {refused} that cuobjdump refuses")
    return 1 if wrong or agreed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
