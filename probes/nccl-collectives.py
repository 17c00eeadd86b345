# Runs all-reduce, all-gather and reduce-scatter over all GPUs of this node, one process for each, and measures them.
# Input: {"known": [{"gpu": "H100", "gpus": 8, "bus": 500, "source": "..."}]}: bus bandwidth in GB/s of an all-reduce inside the node

count = gpus_of_this_node()
if count == 0:
    no_gpu("the driver lists no GPU")
if count == 1:
    skipped("one GPU", "the driver lists one GPU")
log = Log()
children = collective(count, 0, count, lambda unique: unique, log)
lines = log.lines()
log.remove()
said, warnings = summary(children, count, lines), []
ways = transports(lines)
if any(way.startswith("NET/Socket") for way in ways):
    warnings.append("inside one node NCCL goes over TCP: P2P and shared memory are switched off or do not work")
elif any(way.startswith("SHM") for way in ways):
    warnings.append("GPUs talk through the host's memory: peer access is switched off or does not work")
cuda, _ = start_driver()
name = cuda.name(cuda.enter(0)[0])
for known in INPUT.get("known", []):
    if names(known["gpu"], name) and known["gpus"] == count and children[0].speeds["all-reduce"] < known["bus"]:
        warnings.append("all-reduce %.0f GB/s, %.0f GB/s is known for %d x %s (%s)" % (
            children[0].speeds["all-reduce"], known["bus"], count, known["gpu"], known["source"]))
passed(said, warnings)
