# Comes before the code of every probe: what it is given, and the three ways to answer. The first answer ends the probe.

import faulthandler
import json
import os
import sys

_given = json.load(sys.stdin)
INPUT = _given["input"]
GPU_EXPECTED = _given["gpu"]
LIMIT = _given["limit"]
ECHO = _given["echo"]

# A probe that hangs is killed at its limit; a moment before, it says where it hangs.
faulthandler.dump_traceback_later(max(LIMIT - 1.0, LIMIT * 0.8), exit=False)


def _answer(**result):
    sys.stdout.flush()
    # One write, so that no other thread's chatter gets between mark and text.
    os.write(1, ("\n%s%s\n" % (_given["mark"], json.dumps(result))).encode())
    sys.stderr.flush()
    os._exit(0)  # exit handlers of half-loaded CUDA libraries may crash or hang; the answer is given


def passed(evidence, warnings=()):
    _answer(status="passed", evidence=evidence, warnings=list(warnings))


def failed(evidence, cause=""):
    _answer(status="failed", evidence=evidence, cause=cause)


def skipped(reason, evidence=""):
    """The reasons `no GPU`, `one GPU`, `one node` and `below sm_89` say that the machine cannot ask, not that the image is wrong."""
    _answer(status="skipped", reason=reason, evidence=evidence)


def no_gpu(evidence):
    """Skips for want of a GPU; where the container was given one, that it cannot be reached is a failure."""
    if not GPU_EXPECTED:
        skipped("no GPU", evidence)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and not visible.split(",")[0].strip().isdigit():
        failed(evidence, "CUDA_VISIBLE_DEVICES is `%s`, which hides every GPU: take it out of the image or the job" % visible)
    failed(evidence, "a GPU was asked for and did not reach the container: see the NVIDIA container toolkit or CDI")


def mapped(stem):
    """Returns the files of this process whose name begins with `stem`, in the order in which they lie in memory."""
    found = []
    with open("/proc/self/maps") as maps:
        for line in maps:
            path = line.split(None, 5)[-1].strip() if line.count("/") else ""
            if path.split("/")[-1].startswith(stem) and path not in found:
                found.append(path)
    return found


def nccl_version(code):
    """Returns the version of NCCL's code: 22304 is 2.23.4, and before 2.9 2804 was 2.8.4."""
    if code < 10000:
        return "%d.%d.%d" % (code // 1000, code % 1000 // 100, code % 100)
    return "%d.%d.%d" % (code // 10000, code % 10000 // 100, code % 100)


def release(version):
    """Returns the first three numbers of a version."""
    parts = []
    for part in version.split("+")[0].split("-")[0].split("."):
        if not part.isdigit():
            break
        parts.append(int(part))
    return (parts + [0, 0, 0])[:3]
