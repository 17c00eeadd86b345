# The same as `nccl-collectives` over several nodes, and the proof that EFA carried it. Each node runs this probe; they meet at
# MASTER_ADDR:MASTER_PORT. Input: {"fabric": "efa", "direct": true, "wait": seconds}; `fabric` null: any network will do; `direct`: GPUDirect
# RDMA is expected; `wait`: how much of the time is for nodes that come up later than this one, which pulls an image for minutes


def number(*names):
    for name in names:
        text = os.environ.get(name, "")
        if text.isdigit():
            return int(text)
    return None


nodes = number("NNODES", "PET_NNODES", "OMPI_COMM_WORLD_SIZE", "WORLD_SIZE")
node = number("NODE_RANK", "PET_NODE_RANK", "GROUP_RANK", "OMPI_COMM_WORLD_RANK", "RANK")
master, port = os.environ.get("MASTER_ADDR"), number("MASTER_PORT") or 29500
if nodes is None or nodes < 2 or node is None or not master:
    skipped("one node", "no other node is named: NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT say where nodes meet")
count = gpus_of_this_node()
if count == 0:
    no_gpu("the driver lists no GPU")
log = Log()
wait = INPUT.get("wait")
meeting = time.monotonic() + (wait if wait else left() - LIMIT * 0.3)
# NCCL tells ranks of one machine by this; two containers of one host must count as two nodes.
os.environ.setdefault("NCCL_HOSTID", "smp-image-node-%d" % node)


class Lines:
    """JSON lines over a connection."""

    def __init__(self, connection):
        self.connection, self.file = connection, connection.makefile("r")

    def send(self, **what):
        self.connection.settimeout(max(left(), 0.1))
        self.connection.sendall((json.dumps(what) + "\n").encode())

    def receive(self):
        self.connection.settimeout(max(left(), 0.1))
        line = self.file.readline()
        if not line:
            raise OSError("the connection was closed")
        return json.loads(line)


def gathered():
    """Waits for the other nodes; returns their connections by node and how many GPUs each has."""
    server = socket.socket(socket.AF_INET6 if ":" in master else socket.AF_INET)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("", port))
    server.listen(64)
    others, counts = {}, {0: count}
    while len(others) < nodes - 1:
        server.settimeout(max(meeting - time.monotonic(), 0.1))
        try:
            connection, _ = server.accept()
            lines = Lines(connection)
            hello = lines.receive()
        except socket.timeout:
            missing = ", ".join(str(other) for other in range(1, nodes) if other not in others)
            log.remove()
            failed("node %s of %d never came to %s:%d" % (missing, nodes, master, port),
                   "its pod does not run, or nothing may connect to this port: see the security group or network policy")
        except (OSError, ValueError):
            continue  # a port scanner, or a node that was restarted
        others[hello["node"]], counts[hello["node"]] = lines, hello["gpus"]
    return others, counts


def joined():
    """Connects to the first node, which may come up later."""
    while True:
        try:
            lines = Lines(socket.create_connection((master, port), timeout=max(min(left(), 5.0), 0.1)))
            lines.send(node=node, gpus=count)
            return lines, lines.receive()
        except (OSError, ValueError) as error:
            # The first node says who is missing: it gives up before the others do.
            if time.monotonic() > meeting + (LIMIT - (wait or 0)) * 0.1:
                log.remove()
                failed("node 0 of %d cannot be reached at %s:%d: %s" % (nodes, master, port, error),
                       "its pod does not run, the name does not resolve, or nothing may connect to this port")
            time.sleep(0.5)


if node == 0:
    others, counts = gathered()
    size, first = sum(counts.values()), {}
    for other in range(nodes):
        first[other] = sum(counts[before] for before in range(other))
    for other, lines in others.items():
        lines.send(offset=first[other], size=size)
    offset = 0

    def share(unique):
        for lines in others.values():
            lines.send(id=unique)
        return unique
else:
    lines, place = joined()
    offset, size = place["offset"], place["size"]

    def share(_):
        try:
            return lines.receive()["id"]
        except (OSError, ValueError) as error:
            log.remove()
            failed("node 0 went away before NCCL started: %s" % error, "look at its own report")

if wait:
    DEADLINE = time.monotonic() + (LIMIT - wait) * 0.7
children = collective(count, offset, size, share, log)
logged = log.lines()
log.show(3)
log.remove()
said = "%d nodes, %s" % (nodes, summary(children, size, logged))
fabric = INPUT.get("fabric")
if not fabric:
    passed(said)
chosen = sorted({line.split("Using network ", 1)[1].strip() for line in logged if "Using network " in line})
provider = [line for line in logged if "selected provider is" in line.lower()]
if not chosen or any("ofi" not in name.lower() and "libfabric" not in name.lower() for name in chosen):
    failed("%s; NCCL used the network %s, not the aws-ofi-nccl plugin" % (said, ", ".join(chosen) or "unknown"),
           "silent fallback to sockets: the plugin is not on the loader's path, or found no EFA device (/dev/infiniband, memlock)")
if not provider or any("provider is %s" % fabric not in line.lower() for line in provider):
    failed("%s; the plugin did not select the provider %s: %s" % (said, fabric, provider[:1] or "it did not say"),
           "no EFA device in the container, or another libfabric comes first on the loader's path")
direct = any("/GDRDMA" in line for line in logged)
if INPUT.get("direct") and not direct:
    failed("%s; EFA without GPUDirect RDMA" % said, "the kernel modules efa_nv_peermem or gdrdrv are missing on the node, or FI_EFA_USE_DEVICE_RDMA=0")
passed("%s; provider %s%s" % (said, fabric, ", GPUDirect RDMA" if direct else ", without GPUDirect RDMA"))
