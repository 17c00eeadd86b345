#!/usr/bin/env python3
"""Runs every fuzz target for long and says what that came to: fuzz/run.py BINARIES SEEDS WORK SECONDS [PROCESSES FOR EACH TARGET].

`make fuzz` is the minute of every day; this is the hour. Every process has a corpus of its own in WORK, begun from SEEDS (see `corpus.py`).
Prints for each target the CPU time, the inputs tried and the crashes; a crash stays in WORK/crashes, and the exit status is 1."""
import os, pathlib, re, signal, subprocess, sys, time

TARGETS = ("image", "layer", "elf", "fatbin", "texts", "rpm", "manifest")


def start(binaries, seeds, work, seconds, target, number):
    """Starts one process; returns it and its log."""
    corpus, log = work / "corpus" / f"{target}-{number}", work / "logs" / f"{target}-{number}"
    corpus.mkdir(parents=True, exist_ok=True)
    command = [binaries / target, corpus, seeds / target, f"-max_total_time={seconds}", "-print_final_stats=1", "-timeout=30", "-rss_limit_mb=2048",
               f"-seed={number + 1 + int(time.time())}", f"-artifact_prefix={work}/crashes/{target}-{number}-"]
    with log.open("wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT), log


def main():
    binaries, seeds, work = (pathlib.Path(argument).resolve() for argument in sys.argv[1:4])
    seconds, each = int(sys.argv[4]), int((sys.argv[5:] or ["1"])[0])
    for folder in ("crashes", "logs"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    running = {}
    for target in TARGETS:
        for number in range(each):
            process, log = start(binaries, seeds, work, seconds, target, number)
            running[process.pid] = (target, log)
    # Asked to stop, they end as after their time, with their figures.
    signal.signal(signal.SIGTERM, lambda *_: [os.kill(pid, signal.SIGINT) for pid in running])
    totals = {target: [0.0, 0, 0] for target in TARGETS}
    while running:
        # wait4 and not Popen.wait: the CPU time of each process by itself.
        pid, status, used = os.wait4(-1, 0)
        if pid not in running:
            continue
        target, log = running.pop(pid)
        tried = re.search(r"number_of_executed_units: (\d+)", log.read_text(errors="replace"))
        totals[target][0] += used.ru_utime + used.ru_stime
        totals[target][1] += int(tried.group(1)) if tried else 0
        totals[target][2] += len(list((work / "crashes").glob(log.name + "-*")))
        if status and not tried:
            print(f"{log.name} ended with status {status} and without figures: see {log}", file=sys.stderr)
    for target, (cpu, tried, crashes) in totals.items():
        print(f"{target:10} {cpu / 60:7.1f} CPU minutes {tried:14,} inputs {crashes:4} crashes")
    sys.exit(1 if any(crashes for _, _, crashes in totals.values()) else 0)


main()
