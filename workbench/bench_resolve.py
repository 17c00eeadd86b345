"""Times choosing versions and explaining conflicts: whole processes with the full catalogue, release build.

No peer does this; the limit of 50 ms each is our own. Printed: median and longest of all runs, beside the start of a process that
does nothing (`--version`).
"""

import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "target/release/smp-image"
RUNS = 5
LIMIT = 0.050


def timed(arguments, wanted):
    """Returns the seconds that the program took; its exit code must be the wanted one."""
    start = time.perf_counter()
    ended = subprocess.run([PROGRAM, *arguments], cwd=ROOT / "tests/errors", capture_output=True, check=False)
    took = time.perf_counter() - start
    if ended.returncode != wanted:
        sys.exit(f"{arguments}: exit {ended.returncode}: {ended.stderr.decode()}")
    return took


def told(name, commands, wanted):
    """Prints median and longest of all commands."""
    every = [timed(command, wanted) for command in commands for _ in range(RUNS)]
    median, longest = statistics.median(every), max(every)
    word = "within" if median <= LIMIT else "ABOVE"
    print(f"{name:34} {len(every):4} runs   median {median * 1000:6.1f} ms   longest {longest * 1000:6.1f} ms   {word} {LIMIT * 1000:.0f} ms")


def main():
    """Runs all three kinds."""
    recipes = sorted(path.stem for path in (ROOT / "recipes").glob("*.toml"))
    conflicts = sorted(path.name for path in (ROOT / "tests/errors").glob("no-fit-*.toml"))
    told("a process that does nothing", [["--version"]], 0)
    told("resolve: why python, each recipe", [["why", "python", recipe] for recipe in recipes], 0)
    told("explain: each conflict", [["lock", name] for name in conflicts], 4)


if __name__ == "__main__":
    main()
