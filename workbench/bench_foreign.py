"""The parts of `make bench` about images for another architecture: against a native build, and against a linear Dockerfile under QEMU.

`foreign` builds quickstart for arm64 on this amd64 machine, with no emulator on it, and for amd64; `emulated` builds the same software
for arm64 from one linear Dockerfile, with an emulator. Layers are dropped between any two builds, downloads stay.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench import Bench

# A linear build under QEMU is stopped when it has taken so many times as long as ours: the goal is passed by then.
ENOUGH = 8

# How often each of the two is built, one after the other in turns: on a shared machine one pair says little.
ROUNDS = 3


def foreign(bench: Bench) -> None:
    """quickstart for arm64 against itself for amd64."""
    from bench import row

    with emulator(bench, "off"):
        recipe = prepared(bench)
        for arch in ("amd64", "arm64"):
            build(bench, recipe, arch)  # brings the downloads into the engine's caches
        times = {"amd64": [], "arm64": []}
        for _ in range(ROUNDS):
            for arch, taken in times.items():
                taken.append(build(bench, recipe, arch))
                print(f"  quickstart for {arch}: {taken[-1]:.1f} s", file=sys.stderr)
    # The shortest: whatever else runs here only adds.
    ours, native = min(times["arm64"]), min(times["amd64"])
    row(f"quickstart for arm64, no emulator, against amd64, best of {ROUNDS}", ours, native, 1.15)
    medians = {arch: statistics.median(taken) for arch, taken in times.items()}
    row("  medians", medians["arm64"], medians["amd64"], 1.15)


def emulated(bench: Bench) -> None:
    """quickstart for arm64 against the same software in one linear Dockerfile under QEMU."""
    from bench import row

    with emulator(bench, "off"):
        recipe = prepared(bench)
        build(bench, recipe, "arm64")
        ours = build(bench, recipe, "arm64")
    linear = bench.linear(str(recipe), arch="arm64")
    with emulator(bench, "on"):
        took, whole = under_qemu(bench, linear, ours * ENOUGH)
    row(f"  against one linear Dockerfile under QEMU{'' if whole else ', stopped'}", ours, took, 0.2)


@contextlib.contextmanager
def emulator(bench: Bench, state: str) -> Iterator[None]:
    """Switches the emulator of arm64 on or off; afterwards there is none."""
    from bench import WORKBENCH, sh

    sh(str(WORKBENCH), "up", "base-arm64")
    sh(str(WORKBENCH), "emulate", state)
    try:
        yield
    finally:
        sh(str(WORKBENCH), "emulate", "off")
        tidy(bench)


def prepared(bench: Bench) -> Path:
    """Writes quickstart as a recipe of its own, locks it for both architectures and returns its path."""
    from bench import REPO, SMP, sh

    recipe = bench.folder / "foreign.toml"
    recipe.write_text((REPO / "recipes" / "quickstart.toml").read_text())
    for arch in ("amd64", "arm64"):
        sh(str(SMP), "lock", str(recipe), "--arch", arch, "--mirror", f"docker.io={bench.registry}", env=bench.env)
    return recipe


def build(bench: Bench, recipe: Path, arch: str) -> float:
    """Builds the recipe with no layer in the cache, drops what came of it, and returns how long the build took."""
    from bench import timed

    tag = f"bench/foreign:{arch}"
    took = timed(*bench.ours(str(recipe), "--tag", tag, "--no-cache", "--locked", arch=arch), env=bench.env)
    bench.forget(tag)
    tidy(bench)
    return took


def tidy(bench: Bench) -> None:
    """Drops the layers that builds left behind: gigabytes each. The caches with downloads stay."""
    from bench import sh

    sh(bench.docker, "builder", "prune", "--all", "--force", "--filter", "type=regular", env=bench.env)


def under_qemu(bench: Bench, linear: Path, limit: float) -> tuple[float, bool]:
    """Returns how long the linear Dockerfile took under QEMU, and whether it ended before the limit.

    Its wheels are in pip's cache, which our builds share with it; the packages of the distribution are not, some 20 MB.
    """
    command = bench.theirs(linear, "bench/foreign:linear", "--no-cache", "--platform", "linux/arm64")
    start = time.monotonic()
    log = bench.folder / "linear.log"
    with log.open("w") as out:
        child = subprocess.Popen(command, env=bench.env, stdout=out, stderr=out)
        try:
            status = child.wait(limit)
        except subprocess.TimeoutExpired:
            child.terminate()
            child.wait()
            bench.forget("bench/foreign:linear")
            return time.monotonic() - start, False
    if status != 0:
        sys.exit(f"the linear build under QEMU failed with {status}:\n{log.read_text()[-4000:]}")
    took = time.monotonic() - start
    bench.forget("bench/foreign:linear")
    return took, True
