# Comes before the code of every probe: what it is given, and the three ways to answer. The first answer ends the probe.

import json
import os
import sys

_given = json.load(sys.stdin)
INPUT = _given["input"]
GPU_EXPECTED = _given["gpu"]


def _answer(**result):
    sys.stdout.flush()
    # One write, so that no other thread's chatter gets between mark and text.
    os.write(1, ("\n%s%s\n" % (_given["mark"], json.dumps(result))).encode())
    sys.stderr.flush()
    os._exit(0)  # exit handlers of half-loaded CUDA libraries may crash or hang; the answer is given


def passed(evidence):
    _answer(status="passed", evidence=evidence)


def failed(evidence, cause=""):
    _answer(status="failed", evidence=evidence, cause=cause)


def skipped(reason, evidence=""):
    _answer(status="skipped", reason=reason, evidence=evidence)


def no_gpu(evidence):
    """Skips for want of a GPU; where the container was given one, that it cannot be reached is a failure."""
    if GPU_EXPECTED:
        failed(evidence, "a GPU was asked for and did not reach the container: see the NVIDIA container toolkit or CDI")
    skipped("no GPU", evidence)


def nccl_version(code):
    """Returns the version of NCCL's code: 22304 is 2.23.4, and before 2.9 2804 was 2.8.4."""
    if code < 10000:
        return "%d.%d.%d" % (code // 1000, code % 1000 // 100, code % 100)
    return "%d.%d.%d" % (code // 10000, code % 10000 // 100, code % 100)
