#!/usr/bin/env python3
"""`make stacks`: images of unmodified, working stacks must give no error and nothing unknown. Prints what `check` says of each.

stacks.py [--wheels FOLDER] [--keep] [--program FILE] [STACK...]      without names: every stack, one after the other

A stack is what the package index's own resolver chooses for a few pinned packages, over a root of Debian packages (SMP_WB_BASE_TAR; with
libfabric from SMP_WB_FABRIC). The wheels of one stack (up to 5 GB) are in FOLDER while it is looked at; the image streams into `check` and is never on disk.
Transformer Engine's PyTorch half comes as source and needs nvcc: it is in none of them. Extensions of torch that do have wheels stand in for
it and for flash-attn (xformers, vLLM and vllm-flash-attn carry flash attention).
"""
import argparse, json, os, pathlib, shutil, subprocess, sys

REPO = pathlib.Path(__file__).resolve().parent.parent
CUDA12 = ["ml.p4d.24xlarge", "ml.p5.48xlarge", "ml.g5.8xlarge"]
CUDA13 = ["ml.g5.8xlarge", "ml.p5.48xlarge", "ml.p6-b200.48xlarge"]
# Each: what is resolved together, what is added without its requirements, where the image is laid out, and for which instances it is.
STACKS = {
    # 130 MB, small enough for `make test`: for 64-bit Arm the index has a torch without CUDA.
    "small": {
        "arch": "arm64",
        "alone": [
            "torch==2.5.1", "torchvision==0.20.1", "torchaudio==2.5.1", "numpy==2.2.6", "pillow==11.3.0", "sympy==1.13.1", "mpmath==1.3.0", "networkx==3.4.2",
            "jinja2==3.1.6", "markupsafe==3.0.2", "fsspec==2025.3.0", "filelock==3.18.0", "typing-extensions==4.14.0",
        ],
    },
    "torch-2.3": {
        "wheels": ["torch==2.3.1", "torchvision==0.18.1", "torchaudio==2.3.1", "xformers==0.0.27", "transformer-engine==1.11.0", "transformer-engine-cu12==1.11.0"],
        "instances": CUDA12,
    },
    "torch-2.5": {
        "wheels": ["torch==2.5.1", "torchvision==0.20.1", "torchaudio==2.5.1", "xformers==0.0.28.post3", "transformer-engine==1.13.0", "transformer-engine-cu12==1.13.0"],
        "instances": CUDA12,
    },
    "torch-2.8": {
        "wheels": ["torch==2.8.0", "torchvision==0.23.0", "torchaudio==2.8.0", "xformers==0.0.32.post2", "transformer-engine==2.8.0", "transformer-engine-cu12==2.8.0"],
        "alone": ["vllm==0.11.0"],
        "instances": [*CUDA12, "ml.p6-b200.48xlarge"],
    },
    "torch-2.11": {
        "wheels": ["torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0", "transformer-engine==2.14.1", "transformer-engine-cu13==2.14.1"],
        "instances": CUDA13,
    },
    # Transformer Engine opens cuRAND, which torch 2.15 requires no more: without it its import fails, and `check` says so.
    "torch-2.15": {
        "wheels": ["torch==2.15.0", "torchvision", "transformer-engine==2.20.2", "transformer-engine-cu13==2.20.2", "nvidia-curand"],
        "instances": CUDA13,
    },
    # Laid out as the SMP images are: conda's prefix, and libfabric of the system.
    "like-smp": {
        "wheels": ["torch==2.5.1", "transformer-engine==1.13.0", "transformer-engine-cu12==1.13.0"],
        "alone": ["vllm-flash-attn==2.6.2"],
        "prefix": "opt/conda",
        "fabric": True,
        "env": ["LD_LIBRARY_PATH=/opt/amazon/efa/lib:/opt/amazon/openmpi/lib:/usr/local/cuda/lib64:/usr/lib/x86_64-linux-gnu"],
        "instances": CUDA12,
    },
}
DOWNLOAD = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--python-version", "3.11"]
PLATFORMS = {"amd64": [], "arm64": [word for tag in ("2014", "_2_17", "_2_28") for word in ("--platform", f"manylinux{tag}_aarch64")]}
BASES = {"amd64": "SMP_WB_BASE_TAR", "arm64": "SMP_WB_BASE_ARM64"}


def download(stack, folder):
    """Downloads the wheels of a stack and returns them."""
    if not folder.exists():
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        command = [*DOWNLOAD, *PLATFORMS[stack.get("arch", "amd64")], "--dest", part]
        if "wheels" in stack:
            subprocess.run([*command, *stack["wheels"]], check=True)
        if "alone" in stack:
            subprocess.run([*command, "--no-deps", *stack["alone"]], check=True)
        part.rename(folder)
    return sorted(folder.glob("*.whl"))


def look(program, stack, wheels):
    """Streams the image of a stack into `check` and returns its report."""
    arch, instances = stack.get("arch", "amd64"), stack.get("instances")
    command = [sys.executable, REPO / "workbench/wheel_image.py", "--arch", arch, "--base", os.environ[BASES[arch]], "--prefix", stack.get("prefix", "opt/venv")]
    command += [word for value in stack.get("env", []) for word in ("--env", value)]
    if stack.get("fabric"):
        command += [word for deb in sorted(pathlib.Path(os.environ["SMP_WB_FABRIC"]).rglob("*.deb")) for word in ("--deb", deb)]
    with subprocess.Popen([*command, *wheels], stdout=subprocess.PIPE) as image:
        check = [program, "check", "docker-archive:/dev/stdin", "--arch", arch, "--format", "json", *(["--instances", ",".join(instances)] if instances else [])]
        told = subprocess.run(check, stdin=image.stdout, stdout=subprocess.PIPE)
        image.stdout.close()
    if image.returncode or not told.stdout:
        sys.exit(f"the image could not be made or read: {image.returncode}, {told.returncode}")
    return json.loads(told.stdout)["inspection"]


def main():
    builds = [REPO / f"target/{profile}/smp-image" for profile in ("release", "debug")]
    parser = argparse.ArgumentParser()
    parser.add_argument("--wheels", type=pathlib.Path, default=REPO / "target/wheels/stacks")
    parser.add_argument("--keep", action="store_true", help="keep the wheels")
    parser.add_argument("--program", type=pathlib.Path, default=next((path for path in builds if path.exists()), builds[0]))
    parser.add_argument("stacks", nargs="*", metavar="STACK", help=", ".join(STACKS))
    asked = parser.parse_args()
    asked.wheels.mkdir(parents=True, exist_ok=True)
    alarms = 0
    for name in asked.stacks or STACKS:
        stack, folder = STACKS[name], asked.wheels / name
        seen = look(asked.program, stack, download(stack, folder))
        if not asked.keep:
            shutil.rmtree(folder)
        read, findings = seen["read"], seen["findings"]
        print(f"{name}: {' '.join(stack.get('wheels', []) + stack.get('alone', []))}")
        print(f"  {read['bytes'] / 1e9:.1f} GB, {len(seen['layers'])} layers, {read['files']} files, {read['elf_files']} of them ELF, {len(seen['libraries'])} with GPU code, {read['took']:.1f} s")
        print(f"  {' · '.join(one['instance'] + ' ' + one['verdict'] for one in seen['instances']) or 'no instance of the catalogue has this processor'}")
        for finding in findings:
            print(f"  {finding['severity']}: {finding['rule']}: {finding['subject']}: {finding['evidence']}")
        alarms += sum(finding["severity"] in ("error", "unknown") for finding in findings)
        print(flush=True)
    count = len(asked.stacks or STACKS)
    print(f"{alarms} false alarms in {count} stack{'s' * (count != 1)}")
    return 1 if alarms else 0


if __name__ == "__main__":
    sys.exit(main())
