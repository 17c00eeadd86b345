#!/usr/bin/env python3
"""`make bench`: smp-image beside docker buildx and a linear Dockerfile, on one engine, in one run; prints ratios and versions.

Nothing here fails on a slow machine: it measures and prints. The engine is the workbench's 26.1.5 with the containerd store.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_foreign import emulated, foreign

REPO = Path(__file__).resolve().parent.parent
WORKBENCH = REPO / "workbench" / "workbench.sh"
SMP = REPO / "target" / "release" / "smp-image"
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
NCCL_VERSIONS = ["2.30.7", "2.29.7"]
# GB; a full disk in the middle would look like a defect. The parts about other architectures drop what each build leaves.
SPACE = 40
SPACE_TIDY = 18


def sh(*command: str, env: dict | None = None, cwd: Path | None = None) -> str:
    """Runs a command that must succeed and returns what it printed."""
    done = subprocess.run(command, env=env, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def timed(*command: str, env: dict, cwd: Path | None = None) -> float:
    """Returns the wall time of a command in seconds."""
    start = time.monotonic()
    sh(*command, env=env, cwd=cwd)
    return time.monotonic() - start


def start_workbench() -> dict:
    """Starts what is missing and returns its variables."""
    subprocess.run([WORKBENCH, "up", "engine26c", "buildx", "registry", "tools", "base"], check=True, stdout=sys.stderr)
    lines = sh("bash", str(WORKBENCH), "env").splitlines()
    return dict(line.removeprefix("export ").split("=", 1) for line in lines)


class Bench:
    """One engine and the two ways to build with it."""

    def __init__(self, folder: Path):
        workbench = start_workbench()
        self.folder = folder
        self.docker = workbench["SMP_WB_DOCKER"]
        self.registry = workbench["SMP_WB_REGISTRY"]
        self.env = os.environ | {
            "DOCKER_HOST": workbench["SMP_WB_ENGINE26C"],
            "DOCKER_CONFIG": workbench["SMP_WB_DOCKER_CONFIG"],
            "SMP_IMAGE_UV": workbench["SMP_WB_UV"],
            "CI": "true",
        }

    def ours(self, recipe: str, *more: str, arch: str = "amd64") -> list[str]:
        """Returns the command that builds a recipe with smp-image."""
        return [str(SMP), "build", recipe, "--arch", arch, "--network", "host", "--format", "json",
                "--mirror", f"docker.io={self.registry}", *more]

    def theirs(self, dockerfile: Path, tag: str, *more: str) -> list[str]:
        """Returns the command that builds a Dockerfile with docker buildx."""
        return [self.docker, "buildx", "build", "--quiet", "--network", "host", "--file", str(dockerfile), "--tag", tag,
                "--secret", f"id=ca-bundle,src={CA_BUNDLE}", *more, str(self.folder / "context")]

    def versions(self) -> None:
        """Prints who is compared."""
        server = json.loads(sh(self.docker, "version", "--format", "{{json .Server}}", env=self.env))
        print("smp-image  ", sh(str(SMP), "--version").strip())
        print("engine     ", server["Version"], "(containerd image store),", os.cpu_count(), "processors")
        print("buildx     ", sh(self.docker, "buildx", "version", env=self.env).strip())

    def forget(self, *names: str) -> None:
        """Removes images that were only made to be measured: each keeps gigabytes."""
        subprocess.run([self.docker, "image", "rm", "--force", *names], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def render(self, recipe: str) -> str:
        """Returns the Dockerfile of a recipe."""
        return sh(str(SMP), "render", recipe, "--mirror", f"docker.io={self.registry}", env=self.env)

    def recipe(self, nccl: str) -> str:
        """Writes quickstart with one NCCL, locks it and returns its path."""
        text = (REPO / "recipes" / "quickstart.toml").read_text()
        path = self.folder / f"quickstart-{nccl}.toml"
        path.write_text(text.replace('nccl = "*"', f'nccl = "{nccl}"'))
        sh(str(SMP), "lock", str(path), "--mirror", f"docker.io={self.registry}", env=self.env)
        return str(path)

    def plan(self, recipe: str, arch: str) -> list[dict]:
        """Returns the stages of a recipe, as they are on a builder of the image's architecture."""
        command = [str(SMP), "plan", recipe, "--arch", arch, "--on", arch, "--format", "json", "--mirror", f"docker.io={self.registry}"]
        return json.loads(sh(*command, env=self.env))["stages"]

    def linear(self, recipe: str, arch: str = "amd64") -> Path:
        """Writes the same software as one linear Dockerfile, as people write them, and returns its path.

        One step after the other in one stage: the distribution's packages, the Python environment, then each component's wheels in the
        order of the plan; with the same cache mounts and the same checksums.
        """
        stages = self.plan(recipe, arch)
        work = {stage["name"]: stage["work"] for stage in stages}
        packages = work["system"]["packages"] + ["ca-certificates", "python3-venv"]
        apt = "--mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt/lists,sharing=locked"
        pip = "--mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=ca-bundle,target=/run/secrets/ca-bundle"
        trust = "SSL_CERT_FILE=/run/secrets/ca-bundle PIP_CERT=/run/secrets/ca-bundle"
        keep = "--option Dir::Cache::archives=keep"
        lines = [
            f"FROM {stages[0]['from']['image']['name']}",
            f"RUN {apt} apt-get update && apt-get {keep} install --yes --no-install-recommends {' '.join(packages)}",
            "RUN python3 -m venv /opt/venv",
        ]
        for step in (step for step in work.values() if step["kind"] == "wheels"):
            pinned = [" ".join([package["requirement"], *(f"--hash={digest}" for digest in package["hashes"])])
                      for package in step["packages"]]
            written = " ".join(f"'{line}'" for line in pinned)
            lines.append(f"RUN {pip} printf '%s\\n' {written} > /tmp/requirements.txt && {trust} /opt/venv/bin/pip install --no-compile "
                         "--no-deps --require-hashes --requirement /tmp/requirements.txt && rm /tmp/requirements.txt")
        folders = " ".join(work["image"]["folders"])
        lines += [f"RUN printf '%s\\n' {folders} > /etc/ld.so.conf.d/000-bench.conf && ldconfig", 'ENV PATH="/opt/venv/bin:$PATH"', ""]
        path = self.folder / f"linear-{Path(recipe).stem}-{arch}.Dockerfile"
        path.write_text("\n".join(lines))
        return path


def row(what: str, ours: float, theirs: float, goal: float) -> None:
    """Prints one comparison."""
    print(f"{what:<58} {ours:8.2f} s {theirs:8.2f} s   ratio {ours / theirs:5.2f}   (goal {goal})", flush=True)


def unchanged(bench: Bench, runs: int = 9) -> None:
    """An unchanged build against a fully cached one of the same Dockerfile and context."""
    dockerfile = bench.folder / "quickstart.Dockerfile"
    dockerfile.write_text(bench.render("quickstart"))
    sh(*bench.ours("quickstart"), env=bench.env)
    sh(*bench.theirs(dockerfile, "bench/ours:buildx"), env=bench.env)
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(timed(*bench.ours("quickstart"), env=bench.env))
        theirs.append(timed(*bench.theirs(dockerfile, "bench/ours:buildx"), env=bench.env))
    bench.forget("bench/ours:buildx")
    row(f"unchanged build, median of {runs}", statistics.median(ours), statistics.median(theirs), 0.25)


def determinism(bench: Bench) -> None:
    """The digest of a second build with the cache warm."""
    digest = [json.loads(sh(*bench.ours("quickstart", "--refresh"), env=bench.env))["image"]["id"] for _ in range(2)]
    dockerfile = bench.folder / "quickstart.Dockerfile"
    theirs = [sh(*bench.theirs(dockerfile, "bench/ours:buildx"), env=bench.env).strip() for _ in range(2)]
    bench.forget("bench/ours:buildx")
    print("same digest twice from one lock:           smp-image", digest[0] == digest[1],
          "· docker buildx", theirs[0] == theirs[1])


def cold(bench: Bench) -> None:
    """All steps run, downloads come from the caches; then the first container is started, which unpacks what is packed."""
    linear = bench.linear("quickstart")
    sh(*bench.theirs(linear, "bench/linear:warm"), env=bench.env)  # warms the download caches
    bench.forget("bench/linear:warm")
    sh(*bench.ours("quickstart"), env=bench.env)
    ours = timed(*bench.ours("quickstart", "--no-cache", "--tag", "bench/ours:cold"), env=bench.env)
    ours_first = timed(bench.docker, "run", "--rm", "--network", "none", "bench/ours:cold", "true", env=bench.env)
    bench.forget("bench/ours:cold")
    theirs = timed(*bench.theirs(linear, "bench/linear:cold", "--no-cache"), env=bench.env)
    theirs_first = timed(bench.docker, "run", "--rm", "--network", "none", "bench/linear:cold", "true", env=bench.env)
    bench.forget("bench/linear:cold")
    row("cold build, downloads warm, against one linear Dockerfile", ours, theirs, 0.8)
    row("  the same and the first container", ours + ours_first, theirs + theirs_first, 0.8)


def changed(bench: Bench) -> None:
    """Another NCCL, everything else as it was; its wheel is in the download cache of both."""
    recipes = [bench.recipe(version) for version in NCCL_VERSIONS]
    linears = [bench.linear(recipe) for recipe in recipes]
    # Both start from the same software with another NCCL, fully cached.
    sh(*bench.ours("quickstart"), env=bench.env)
    sh(*bench.theirs(bench.linear("quickstart"), "bench/linear:before"), env=bench.env)
    bench.forget("bench/linear:before")
    for recipe in recipes:
        # Brings NCCL's wheel into the download cache. The step differs by one word from the real one, so that its result does not count
        # as cached afterwards.
        only = bench.folder / "nccl-only.Dockerfile"
        only.write_text(bench.render(recipe).replace("set -eu;", "set -eu; true warm;"))
        sh(*bench.theirs(only, "bench/nccl:warm", "--target", "nccl"), env=bench.env)
        bench.forget("bench/nccl:warm")
    for index, (recipe, linear) in enumerate(zip(recipes, linears)):
        ours = timed(*bench.ours(recipe, "--tag", f"bench/ours:nccl{index}"), env=bench.env)
        bench.forget(f"bench/ours:nccl{index}")
        theirs = timed(*bench.theirs(linear, f"bench/linear:nccl{index}"), env=bench.env)
        bench.forget(f"bench/linear:nccl{index}")
        row(f"NCCL changed to {NCCL_VERSIONS[index]}", ours, theirs, 0.5)


def itself(bench: Bench, runs: int = 40) -> None:
    """The tool's own start-up, size and memory."""
    starts = [timed(str(SMP), "--version", env=bench.env) for _ in range(runs)]
    print(f"start-up (--version), median of {runs}: {statistics.median(starts) * 1000:.1f} ms (goal 15)")
    print(f"release binary: {SMP.stat().st_size / 1e6:.1f} MB (goal 30)")
    for name, command in {
        "check of the quickstart": [str(SMP), "check", "smp-image/quickstart", "--recipe", "quickstart"],
        "push of the quickstart": [str(SMP), "push", "smp-image/quickstart", "--to", f"{bench.registry}/bench/quickstart"],
        "rebuild of the quickstart": bench.ours("quickstart", "--no-cache", "--tag", "bench/ours:memory"),
    }.items():
        child = subprocess.Popen(command, env=bench.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        start = time.monotonic()
        _, status, usage = os.wait4(child.pid, 0)
        took = time.monotonic() - start
        assert status == 0, f"{name} failed with {status}"
        print(f"{name}: {took:.1f} s, peak memory {usage.ru_maxrss / 1024:.0f} MiB (goal 100)", flush=True)


def main() -> None:
    parts = {"unchanged": unchanged, "determinism": determinism, "cold": cold, "changed": changed, "foreign": foreign,
             "emulated": emulated, "itself": itself}
    wanted = sys.argv[1:] or list(parts)
    free = shutil.disk_usage(REPO).free / 1e9
    space = SPACE_TIDY if set(wanted) <= {"foreign", "emulated"} else SPACE
    if free < space:
        sys.exit(f"{free:.0f} GB are free, and images of several GB are built side by side: make room for {space} GB first "
                 "(workbench/workbench.sh prune)")
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=REPO, check=True)
    folder = Path(tempfile.mkdtemp(prefix="smp-image-bench-"))
    (folder / "context").mkdir()
    try:
        bench = Bench(folder)
        bench.versions()
        print(f"{'':58} {'smp-image':>10} {'the other':>10}")
        for part in wanted:
            parts[part](bench)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
