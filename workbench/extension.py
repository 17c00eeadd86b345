#!/usr/bin/env python3
"""`make extension`: Transformer Engine's PyTorch extension compiled once against PyTorch and taken by a second, clean builder.

The first builder is the workbench's engine with the containerd store, the second the one with overlay2, emptied before. Fails where the
second compiles, takes a changed wheel, or makes an image that `check` or `smoke` refuses. Prints times and sizes.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
WORKBENCH = REPO / "workbench" / "workbench.sh"
SMP = REPO / "target" / "release" / "smp-image"
PARTS = ["engine26c", "engine26", "buildx", "registry", "tools", "base"]
# GB, for both builders and the wheels of PyTorch.
SPACE = 45

# The compilers are Debian's; the headers of CUDA come with the wheels, but for those of the compiler's own runtime.
RECIPE = """name = "extension"
instances = ["ml.g5.8xlarge", "ml.p5.48xlarge"]

[base]
image = "debian:trixie-slim"
devel = "{registry}/library/debian:trixie-slim"

[components]
python = "*"
cudnn = "*"
nccl = "*"
pytorch = "2.15.0"
transformer-engine = "2.20.2"

[python]
packages = ["nvidia-cuda-crt==13.2.*"]
"""


class Builder:
    """One engine of the workbench and the program in front of it."""

    def __init__(self, engine: str, workbench: dict, folder: Path):
        self.tag, self.folder = f"smp-image/extension:{engine}", folder
        self.mirror = f"docker.io={workbench['SMP_WB_REGISTRY']}"
        self.docker = workbench["SMP_WB_DOCKER"]
        self.env = os.environ | {"DOCKER_HOST": workbench[f"SMP_WB_{engine.upper()}"], "SMP_IMAGE_UV": workbench["SMP_WB_UV"],
                                 "DOCKER_CONFIG": workbench["SMP_WB_DOCKER_CONFIG"]}

    def program(self, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run([SMP, *words], env=self.env, cwd=self.folder, text=True, capture_output=True)

    def fine(self, *words: str) -> subprocess.CompletedProcess:
        """Runs the program, which must succeed."""
        done = self.program(*words)
        if done.returncode:
            sys.exit(f"smp-image {' '.join(words)} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}")
        return done

    def build(self, *more: str) -> list[str]:
        return ["build", "extension.toml", "--locked", "--tag", self.tag, "--mirror", self.mirror, "--network", "host",
                "--wheelhouse", "house", "--format", "json", *more]


def compiling(events: str) -> float | None:
    """Returns the seconds of the step that compiles, if one ran."""
    steps, times = set(), {}
    for event in (json.loads(line) for line in events.splitlines() if line.startswith("{")):
        if event["event"] == "step" and " -m pip wheel " in event["name"]:
            steps.add(event["id"])
        if event["event"] in ("step-started", "step-ended") and event["id"] in steps and not event.get("cached"):
            times[event["event"]] = datetime.fromisoformat(event["time"])
    return (times["step-ended"] - times["step-started"]).total_seconds() if len(times) == 2 else None


def main() -> None:
    subprocess.run([WORKBENCH, "up", *PARTS], check=True, stdout=sys.stderr)
    stat = os.statvfs(REPO)
    if stat.f_bavail * stat.f_frsize < SPACE * 10**9:
        sys.exit(f"this wants {SPACE} GB of free disk")
    lines = subprocess.run([WORKBENCH, "env"], check=True, text=True, capture_output=True).stdout.splitlines()
    workbench = dict(line.removeprefix("export ").split("=", 1) for line in lines)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first, second = (Builder(engine, workbench, folder) for engine in ("engine26c", "engine26"))
        (folder / "extension.toml").write_text(RECIPE.format(registry=workbench["SMP_WB_REGISTRY"]))
        first.fine("lock", "extension.toml", "--mirror", first.mirror)

        start = time.monotonic()
        events = first.fine(*first.build("--no-cache")).stderr
        wheel, = (folder / "house").glob("*/*.whl")
        print(f"compiled     {compiling(events):.0f} s of {time.monotonic() - start:.0f} s; {wheel.name}, {wheel.stat().st_size} bytes")

        subprocess.run([second.docker, "builder", "prune", "--all", "--force"], env=second.env, check=True, stdout=subprocess.DEVNULL)
        start = time.monotonic()
        events = second.fine(*second.build("--no-cache")).stderr
        if compiling(events) is not None or "cc1plus" in events:
            sys.exit("the second builder compiled")
        print(f"taken        {time.monotonic() - start:.0f} s; nothing was compiled")

        whole = wheel.read_bytes()
        wheel.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
        refused = second.program(*second.build("--refresh"))
        wheel.write_bytes(whole)
        if refused.returncode != 5 or "it is not the wheel that was put there" not in refused.stderr:
            sys.exit(f"a changed wheel was not refused: {refused.returncode}\n{refused.stderr[-2000:]}")
        print("changed      refused")

        second.fine("check", second.tag, "--recipe", "extension.toml")
        outcome = json.loads(second.fine("smoke", second.tag, "--recipe", "extension.toml", "--gpu", "none", "--tier", "1", "--format", "json").stdout)
        for probe in outcome["probes"]:
            print(f"{probe['probe']:<12} {probe['answer']['status']}")
        for builder in (first, second):
            subprocess.run([builder.docker, "image", "rm", builder.tag], env=builder.env, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
