# Comes before the probes `nccl-collectives` and `nccl-network`: NCCL between processes, one for each GPU, as training runs it.
#
# The probe itself never touches CUDA. It forks one child for each GPU of this node; a pipe brings up what each child has reached, so
# that a rank that hangs is known by name. The nodes meet at MASTER_ADDR:MASTER_PORT.

import array
import glob
import select
import shutil
import signal
import socket
import tempfile
import time

FLOAT32, SUM, UNIQUE_ID = 7, 0, 128
CHECKED, TIMED = 1 << 18, 1 << 28  # numbers, bytes
DEADLINE = time.monotonic() + max(LIMIT - 4.0, LIMIT * 0.7)
OPERATIONS = ("all-reduce", "all-gather", "reduce-scatter")

# Its thread would not be there in a child, which then hangs. Each child says itself where it hangs; the probe has a deadline.
faulthandler.cancel_dump_traceback_later()


class UniqueId(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_char * UNIQUE_ID)]


def left():
    return max(DEADLINE - time.monotonic(), 0.0)


def gpus_of_this_node():
    """Counts GPUs in a child, because CUDA does not survive a fork."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        count = 0
        faulthandler.dump_traceback_later(max(LIMIT - 1.0, LIMIT * 0.8), exit=False)
        try:
            cuda = ctypes.CDLL(DRIVER)
            number = ctypes.c_int()
            if cuda.cuInit(0) == 0 and cuda.cuDeviceGetCount(ctypes.byref(number)) == 0:
                count = number.value
        finally:
            os.write(writer, b"%d" % count)
            os._exit(0)
    os.close(writer)
    text = os.read(reader, 16)
    os.close(reader)
    os.waitpid(child, 0)
    return int(text or b"0")


class Rank:
    """What a child does."""

    def __init__(self, rank, size, device, say, hear):
        self.rank, self.size, self.device, self.say, self.hear = rank, size, device, say, hear

    def run(self):
        self.say(stage="starting the driver")
        self.cuda = Driver(ctypes.CDLL(DRIVER))
        self.cuda.cuInit(0)
        self.cuda.enter(self.device)
        self.nccl = load("libnccl.so.2")
        unique = UniqueId()
        if self.rank == 0:
            self.call("ncclGetUniqueId", ctypes.byref(unique))
            self.say(id=ctypes.string_at(ctypes.byref(unique), UNIQUE_ID).hex())
        else:
            self.say(stage="waiting for rank 0")
            ctypes.memmove(ctypes.byref(unique), bytes.fromhex(self.hear()), UNIQUE_ID)
        self.say(stage="ncclCommInitRank")
        self.communicator = ctypes.c_void_p()
        self.nccl.ncclCommInitRank.argtypes = [ctypes.c_void_p, ctypes.c_int, UniqueId, ctypes.c_int]
        self.call("ncclCommInitRank", ctypes.byref(self.communicator), self.size, unique, self.rank)
        self.stream = ctypes.c_void_p()
        self.cuda.cuStreamCreate(ctypes.byref(self.stream), 0)
        for operation in OPERATIONS:
            self.say(stage=operation)
            self.check(operation)
        speeds = {}
        for operation in OPERATIONS:
            self.say(stage="%s of %d MiB" % (operation, TIMED >> 20))
            speeds[operation] = self.measure(operation)
        code = ctypes.c_int()
        self.call("ncclGetVersion", ctypes.byref(code))
        self.say(stage="done", speeds=speeds, version=nccl_version(code.value))
        # Nobody leaves before all have finished: a rank that is gone would be an error to the others.
        self.hear()

    def call(self, name, *arguments):
        status = getattr(self.nccl, name)(*arguments)
        if status != 0:
            raise RuntimeError("%s: %s" % (name, nccl_said(self.nccl, status)))

    def start(self, operation, source, target, count):
        """Starts an operation; `count` is how many numbers the smaller side has."""
        source, target, count = ctypes.c_void_p(source.value), ctypes.c_void_p(target.value), ctypes.c_size_t(count)
        if operation == "all-reduce":
            self.call("ncclAllReduce", source, target, count, FLOAT32, SUM, self.communicator, self.stream)
        elif operation == "all-gather":
            self.call("ncclAllGather", source, target, count, FLOAT32, self.communicator, self.stream)
        else:
            self.call("ncclReduceScatter", source, target, count, FLOAT32, SUM, self.communicator, self.stream)

    def check(self, operation):
        """Runs an operation on small whole numbers, whose sums are exact, and compares every result."""
        size, rank = self.size, self.rank
        given, taken = CHECKED, CHECKED
        if operation == "all-gather":
            taken = CHECKED * size
        elif operation == "reduce-scatter":
            given = CHECKED * size
        values = array.array("f", (float(i % 251 + rank) for i in range(given)))
        source, target = self.cuda.allocate(given * 4), self.cuda.allocate(taken * 4)
        self.cuda.cuMemcpyHtoD_v2(source, ctypes.c_void_p(values.buffer_info()[0]), ctypes.c_size_t(given * 4))
        self.cuda.cuMemsetD8_v2(target, 0, ctypes.c_size_t(taken * 4))
        self.cuda.cuCtxSynchronize()
        self.start(operation, source, target, CHECKED)
        self.cuda.cuStreamSynchronize(self.stream)
        got = array.array("f", bytes(taken * 4))
        self.cuda.cuMemcpyDtoH_v2(ctypes.c_void_p(got.buffer_info()[0]), target, ctypes.c_size_t(taken * 4))
        ranks = size * (size - 1) // 2
        if operation == "all-gather":
            wrong = sum(1 for i in range(taken) if got[i] != i % CHECKED % 251 + i // CHECKED)
        else:
            first = CHECKED * rank if operation == "reduce-scatter" else 0
            wrong = sum(1 for i in range(taken) if got[i] != (first + i) % 251 * size + ranks)
        self.cuda.cuMemFree_v2(source)
        self.cuda.cuMemFree_v2(target)
        if wrong:
            raise RuntimeError("%d of %d numbers of the %s are wrong" % (wrong, taken, operation))

    def measure(self, operation):
        """Returns the bus bandwidth in GB/s as nccl-tests counts it: what a link must have carried, whatever the number of ranks."""
        size = self.size
        whole = TIMED // 4 // size * size
        count = whole if operation == "all-reduce" else whole // size
        source, target = self.cuda.allocate(whole * 4), self.cuda.allocate(whole * 4)
        self.cuda.cuMemsetD8_v2(source, 0, ctypes.c_size_t(whole * 4))
        for _ in range(3):
            self.start(operation, source, target, count)
        self.cuda.cuStreamSynchronize(self.stream)
        began = time.perf_counter()
        for _ in range(10):
            self.start(operation, source, target, count)
        self.cuda.cuStreamSynchronize(self.stream)
        took = (time.perf_counter() - began) / 10
        self.cuda.cuMemFree_v2(source)
        self.cuda.cuMemFree_v2(target)
        return whole * 4 / took / 1e9 * (size - 1) / size * (2 if operation == "all-reduce" else 1)


class Child:
    """A rank as its parent sees it."""

    def __init__(self, rank, size, device):
        self.rank, self.stage, self.error, self.speeds, self.version, self.unread = rank, "starting", None, None, None, b""
        self.reader, write_up = os.pipe()
        read_down, self.writer = os.pipe()
        self.process = os.fork()
        if self.process:
            os.close(write_up)
            os.close(read_down)
            return
        os.close(self.reader)
        os.close(self.writer)
        lines = os.fdopen(read_down)
        faulthandler.dump_traceback_later(max(left() - 1.0, 0.1), exit=False)

        def say(**what):
            os.write(write_up, (json.dumps(what) + "\n").encode())
        try:
            Rank(rank, size, device, say, lambda: lines.readline().strip()).run()
        except BaseException as error:
            say(error=str(error) or type(error).__name__)
        finally:
            sys.stderr.flush()
            os._exit(0)

    def tell(self, text):
        try:
            os.write(self.writer, (text + "\n").encode())
        except OSError:
            pass  # it has ended, and says why on the other pipe

    def hears(self):
        """Reads what the child says; returns the unique id where it is that."""
        chunk = os.read(self.reader, 65536)
        if not chunk:
            if self.stage != "done" and self.error is None:
                self.error = "it crashed in `%s`" % self.stage
            return None
        self.unread += chunk
        *lines, self.unread = self.unread.split(b"\n")
        unique = None
        for line in lines:
            said = json.loads(line)
            unique = said.get("id", unique)
            self.stage = said.get("stage", self.stage)
            self.error = said.get("error", self.error)
            self.speeds = said.get("speeds", self.speeds)
            self.version = said.get("version", self.version)
        return unique


class Log:
    """What NCCL logs, into files of this probe's own unless the user has named one."""

    def __init__(self):
        self.folder, self.told = tempfile.mkdtemp(prefix="smp-image-"), False
        if os.environ.get("NCCL_DEBUG", "").upper() not in ("INFO", "TRACE"):
            os.environ["NCCL_DEBUG"] = "INFO"
        os.environ["NCCL_DEBUG_FILE"] = os.path.join(self.folder, "%p.log")

    def lines(self):
        lines = []
        for path in sorted(glob.glob(os.path.join(self.folder, "*.log"))):
            with open(path, errors="replace") as file:
                lines.extend(line.rstrip("\n") for line in file)
        return lines

    def tell(self):
        """Writes everything to standard error, once, where somebody reads that as a log."""
        if ECHO and not self.told:
            sys.stderr.write("".join(line + "\n" for line in self.lines()))
            self.told = True

    def remove(self):
        self.tell()
        shutil.rmtree(self.folder, ignore_errors=True)

    def show(self, count=6):
        """Writes the last lines of each rank to standard error, where the report takes them from; warnings in any case."""
        self.tell()
        for path in sorted(glob.glob(os.path.join(self.folder, "*.log"))):
            with open(path, errors="replace") as file:
                lines = [line.rstrip("\n") for line in file if line.strip()]
            kept = [line for line in lines[:-count] if " WARN " in line][-2:] + lines[-count:]
            sys.stderr.write("".join(line + "\n" for line in kept))
        sys.stderr.flush()


def transports(lines):
    """Returns by which ways channels go, such as `P2P/CUMEM`, `SHM/direct/direct`, `NET/Socket/0`."""
    found = []
    for line in lines:
        if " via " in line and "->" in line:
            way = line.split(" via ", 1)[1].split()[0]
            if way not in found:
                found.append(way)
    return found


SYMPTOMS = (
    ("No space left on device", "/dev/shm is too small for NCCL: give the container more (--shm-size), a pod an emptyDir of medium Memory there"),
    ("failed to extend /dev/shm", "/dev/shm is too small for NCCL: give the container more (--shm-size), a pod an emptyDir of medium Memory there"),
    ("no kernel image is available", "this NCCL was compiled for other GPUs than this one"),
    ("invalid device function", "this NCCL was compiled for other GPUs than this one"),
    ("Duplicate GPU detected", "two ranks were given one GPU: see CUDA_VISIBLE_DEVICES"),
    ("Connection refused", "another rank ended early: look at its own report"),
    ("Call to ibv_reg_mr failed", "the memlock limit is too low to register memory: ulimit -l unlimited"),
    ("Cannot allocate memory", "the memlock limit, huge pages or the container's memory are too small"),
    ("no socket interface found", "no network interface that NCCL may use: see NCCL_SOCKET_IFNAME"),
)


def likely(lines):
    text = "\n".join(lines)
    return next((cause for words, cause in SYMPTOMS if words in text), "see NCCL's lines")


def stop(children):
    for child in children:
        try:
            os.kill(child.process, signal.SIGKILL)
            os.waitpid(child.process, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def give_up(children, log, evidence, cause):
    stop(children)
    log.show()
    log.remove()
    failed(evidence, cause)


def collective(count, offset, size, share, log):
    """Runs `count` ranks of `size`, the first of them `offset`; returns them. `share` sends rank 0's id to other nodes, or fetches it."""
    children = [Child(offset + at, size, at) for at in range(count)]
    if offset:
        unique = share(None)
        for child in children:
            child.tell(unique)
    open_pipes = {child.reader: child for child in children}
    while any(child.stage != "done" for child in children):
        ready, _, _ = select.select(list(open_pipes), [], [], left())
        if not ready:
            # Those that wait for another rank are not at fault: name the one that came least far.
            behind = [child for child in children if child.stage in ("starting", "starting the driver")]
            hung = ", ".join("rank %d in `%s`" % (child.rank, child.stage) for child in children)
            if behind:
                ranks = ", ".join("%d" % child.rank for child in behind)
                give_up(children, log, "rank %s of %d never arrived (%s)" % (ranks, size, hung),
                        "its process hangs before NCCL starts: see the stacks")
            give_up(children, log, "NCCL did not finish in time: %s" % hung, likely(log.lines()) if log.lines() else "")
        for pipe in ready:
            child = open_pipes[pipe]
            unique = child.hears()
            if unique:
                for other in children:
                    if other is not child:
                        other.tell(unique)
                share(unique)
            if child.error:
                if child.error.startswith("libnccl.so.2: cannot open") and not INPUT.get("expected", True):
                    stop(children)
                    log.remove()
                    skipped("NCCL is not in the image", child.error)
                lines = log.lines()
                give_up(children, log, "rank %d of %d: %s" % (child.rank, size, child.error), likely(lines + [child.error]))
            if child.stage == "done":
                open_pipes.pop(pipe, None)
    for child in children:
        child.tell("leave")
    stop(children)
    return children


def summary(children, size, lines):
    speeds = children[0].speeds
    return "NCCL %s, %d ranks, %s; bus bandwidth of %d MiB: %s" % (
        children[0].version, size, ", ".join(transports(lines)) or "transport not logged", TIMED >> 20,
        ", ".join("%s %.1f GB/s" % (operation, speeds[operation]) for operation in OPERATIONS))
