# Runs flash-attn forwards and backwards and compares with PyTorch's attention in single precision. Input: {"expected": bool}

torch = module("torch", "torch")
flash_attn = module("flash_attn", "flash_attn")
capability = gpu(torch)
if capability < (8, 0):
    skipped("below sm_80", "flash-attn is skipped below sm_80; this GPU is sm_%d%d" % capability)
what = "flash-attn %s" % getattr(flash_attn, "__version__", "of unknown version")
differences = {}
try:
    for causal in (False, True):
        torch.manual_seed(5)
        # Batch, sequence, heads, width.
        ours = [torch.randn(2, 256, 4, 64, device="cuda", dtype=torch.bfloat16, requires_grad=True) for _ in range(3)]
        theirs = [value.detach().float().transpose(1, 2).requires_grad_() for value in ours]
        pull = torch.randn(2, 256, 4, 64, device="cuda", dtype=torch.bfloat16)
        output = flash_attn.flash_attn_func(*ours, causal=causal)
        output.backward(pull)
        reference = torch.nn.functional.scaled_dot_product_attention(*theirs, is_causal=causal)
        reference.backward(pull.float().transpose(1, 2))
        torch.cuda.synchronize()
        kind = "causal" if causal else "full"
        differences["the output (%s)" % kind] = apart(output.transpose(1, 2), reference)
        for name, mine, other in zip("qkv", ours, theirs):
            differences["the gradient of %s (%s)" % (name, kind)] = apart(mine.grad.transpose(1, 2), other.grad)
except Exception as error:
    explained(torch, what, error)
compare(differences, 0.03, what, "%s, full and causal attention forward and backward" % what)
