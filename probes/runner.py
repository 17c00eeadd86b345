# Runs probes inside a container of the image, or on this machine. Reads one line of JSON on standard input:
#   {"mark": "...", "gpu": bool, "watch": bool, "probes": [{"id": 0, "code": "...", "input": {...}, "limit": seconds, "echo": bool}]}
# and writes one marked JSON line on standard output for each probe as it ends:
#   {"id": 0, "took": seconds, "answer": {"status": "passed", "evidence": "..."}}
# Each probe is a process of its own: when it crashes or hangs, that is its result, and the next one runs. With `watch`, the end of
# standard input means that nobody wants the answers any more. With `echo`, what the probe writes to standard error goes to ours as it
# comes. Standard library only, Python 3.8 or newer.

import json
import os
import signal
import subprocess
import sys
import threading
import time

KEPT = 16384  # of each output, the end
running = []  # the probe that runs


def drain(stream, kept, echo):
    """Keeps the end of what a probe writes, so that it never blocks and never fills our memory."""
    while True:
        chunk = stream.read1(65536)
        if not chunk:
            return
        if echo:
            try:
                sys.stderr.buffer.write(chunk)
                sys.stderr.buffer.flush()
            except OSError:
                echo = False  # nobody reads it any more
        kept.append(chunk)
        while len(kept) > 1 and sum(map(len, kept)) - len(kept[0]) > KEPT:
            kept.pop(0)


def last_lines(kept, count=8):
    text = b"".join(kept)[-KEPT:].decode("utf-8", "replace")
    return [line for line in text.splitlines() if line.strip()][-count:]


def signal_name(number):
    try:
        return signal.Signals(number).name
    except ValueError:
        return "signal %d" % number


def marked(kept, mark):
    """Returns the last result that the probe wrote; whatever else it or its libraries wrote is chatter."""
    text = b"".join(kept).decode("utf-8", "replace")
    found = None
    for line in text.split("\n"):  # not splitlines: the mark holds a control character
        at = line.rfind(mark)
        if at >= 0:
            try:
                found = json.loads(line[at + len(mark):])
            except ValueError:
                pass
    return found


def kill(process):
    """Kills the probe and everything that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()


def run(probe, mark, gpu):
    process = subprocess.Popen(
        [sys.executable, "-c", probe["code"]],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )
    out, err = [], []
    readers = [threading.Thread(target=drain, args=pair, daemon=True)
               for pair in ((process.stdout, out, False), (process.stderr, err, probe["echo"]))]
    for reader in readers:
        reader.start()
    running[:] = [process]
    given = {"mark": mark, "gpu": gpu, "input": probe["input"], "limit": probe["limit"], "echo": probe["echo"]}
    try:
        process.stdin.write(json.dumps(given).encode())
        process.stdin.close()
    except BrokenPipeError:
        pass
    hung = False
    try:
        process.wait(timeout=probe["limit"])
    except subprocess.TimeoutExpired:
        hung = True
    kill(process)  # also what it left behind
    process.wait()
    for reader in readers:
        reader.join(timeout=5)
    result = marked(out, mark)
    if result is None:
        # Of a hang, the stacks that it wrote a moment before.
        result = {"status": "failed", "tail": last_lines(err, 40 if hung else 8)}
        if hung:
            result["evidence"] = "it did not end within %g s and was killed" % probe["limit"]
        elif process.returncode < 0:
            result["evidence"] = "it crashed with %s" % signal_name(-process.returncode)
        else:
            result["evidence"] = "it ended with status %d and without an answer" % process.returncode
    elif result.get("status") == "failed":
        result["tail"] = last_lines(err, 12)
    return result


def watch():
    """Ends with whoever asked for the probes, and takes the probe that runs along."""
    while sys.stdin.buffer.read(4096):
        pass
    for process in running:
        kill(process)
    os._exit(1)


def main():
    if sys.version_info < (3, 8):
        sys.exit("the image's python3 is %d.%d; probes need 3.8" % sys.version_info[:2])
    # One line, not all: not every connection to an engine can tell a container that its input ended.
    order = json.loads(sys.stdin.buffer.readline())
    if order.get("watch"):
        threading.Thread(target=watch, daemon=True).start()
    for probe in order["probes"]:
        start = time.monotonic()
        try:
            answer = run(probe, order["mark"], order["gpu"])
        except OSError as error:
            answer = {"status": "failed", "evidence": "it could not be started: %s" % error}
        result = {"id": probe["id"], "took": round(time.monotonic() - start, 3), "answer": answer}
        sys.stdout.write("\n%s%s\n" % (order["mark"], json.dumps(result)))
        sys.stdout.flush()


main()
