# Trains a small network with PyTorch, forwards and backwards, in bf16, and compares with the same in double precision on the processor.
# Input: {"expected": bool}

torch = module("torch", "torch")
capability = gpu(torch)


def network(device, kind):
    torch.manual_seed(7)
    layers = torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.GELU(), torch.nn.LayerNorm(512), torch.nn.Linear(512, 64))
    return layers.double().to(device=device, dtype=kind)


def step(layers, given, wanted):
    """Returns the output and the loss of one forward pass after its gradients were made."""
    output = layers(given)
    loss = torch.nn.functional.mse_loss(output.float(), wanted.float())
    loss.backward()
    return output, loss


try:
    kind = torch.bfloat16 if capability >= (8, 0) else torch.float16
    torch.manual_seed(1)
    given, wanted = torch.randn(512, 256, dtype=torch.float64), torch.randn(512, 64, dtype=torch.float64)
    small = network("cpu", torch.float64)
    large = network("cuda", kind)
    reference, _ = step(small, given, wanted)
    output, first = step(large, given.to("cuda", kind), wanted.to("cuda", kind))
    differences = {"the output": apart(output, reference)}
    for (name, ours), (_, theirs) in zip(large.named_parameters(), small.named_parameters()):
        differences["the gradient of %s" % name] = apart(ours.grad, theirs.grad)
    optimizer = torch.optim.AdamW(large.parameters(), lr=1e-3)
    for _ in range(20):
        optimizer.zero_grad()
        _, last = step(large, given.to("cuda", kind), wanted.to("cuda", kind))
        optimizer.step()
    torch.cuda.synchronize()
    first, last = first.item(), last.item()
except Exception as error:
    explained(torch, "training with PyTorch %s" % torch.__version__, error)
if not last < first:
    failed("20 steps took the loss from %.4f to %.4f" % (first, last), "the optimiser does not learn: wrong numbers on this GPU")
said = "PyTorch %s, %s forward and backward, loss %.3f to %.3f in 20 steps" % (
    torch.__version__, "bf16" if kind == torch.bfloat16 else "fp16", first, last)
compare(differences, 0.05, "PyTorch %s" % torch.__version__, said)
