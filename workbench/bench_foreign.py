"""The part of `make bench` about images for another architecture: against a native build, and against a linear Dockerfile under QEMU."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench import Bench

# A linear build under QEMU is stopped when it has taken so many times as long as ours: the goal is passed by then.
ENOUGH = 8


def foreign(bench: Bench) -> None:
    """quickstart for arm64 on this amd64 machine, then against itself for amd64 and against a linear Dockerfile under QEMU."""
    from bench import REPO, WORKBENCH, row, sh, timed

    sh(str(WORKBENCH), "up", "base-arm64")
    sh(str(WORKBENCH), "emulate", "off")
    recipe = bench.folder / "foreign.toml"
    recipe.write_text((REPO / "recipes" / "quickstart.toml").read_text())
    times = {}
    for arch in ("amd64", "arm64"):
        # The first build brings the downloads into the engine's caches.
        sh(*bench.ours(str(recipe), "--tag", f"bench/foreign:{arch}", arch=arch), env=bench.env)
        bench.forget(f"bench/foreign:{arch}")
        times[arch] = timed(*bench.ours(str(recipe), "--tag", f"bench/foreign:{arch}", "--no-cache", arch=arch), env=bench.env)
        bench.forget(f"bench/foreign:{arch}")
    row("quickstart for arm64, no emulator, against amd64", times["arm64"], times["amd64"], 1.15)
    linear = bench.linear(str(recipe), arch="arm64")
    sh(str(WORKBENCH), "emulate", "on")
    try:
        took, whole = emulated(bench, linear, times["arm64"] * ENOUGH)
    finally:
        sh(str(WORKBENCH), "emulate", "off")
    row(f"  against one linear Dockerfile under QEMU{'' if whole else ', stopped'}", times["arm64"], took, 0.2)


def emulated(bench: Bench, linear, limit: float) -> tuple[float, bool]:
    """Returns how long the linear Dockerfile took under QEMU, and whether it ended; its downloads are not warm the first time."""
    command = bench.theirs(linear, "bench/foreign:linear", "--no-cache", "--platform", "linux/arm64")
    start = time.monotonic()
    child = subprocess.Popen(command, env=bench.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        status = child.wait(limit)
        assert status == 0, f"the linear build failed with {status}"
        whole = True
    except subprocess.TimeoutExpired:
        child.terminate()
        child.wait()
        whole = False
    bench.forget("bench/foreign:linear")
    return time.monotonic() - start, whole
