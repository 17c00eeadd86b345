# Runs a layer of Transformer Engine forwards and backwards and compares with PyTorch in double precision.
# Input: {"fp8": bool, "expected": bool}

torch = module("torch", "torch")
module("transformer_engine", "transformer_engine")
te = module("transformer_engine.pytorch", "transformer_engine.pytorch")
capability = gpu(torch)
fp8 = INPUT.get("fp8", False)
if fp8 and capability < (8, 9):
    skipped("below sm_89", "FP8 is skipped below sm_89; this GPU is sm_%d%d" % capability)
if capability < (8, 0):
    skipped("below sm_80", "bf16 is skipped below sm_80; this GPU is sm_%d%d" % capability)


def layer_norm_linear(given, weights):
    """The reference, of PyTorch alone."""
    normed = torch.nn.functional.layer_norm(given, given.shape[-1:], weights["layer_norm_weight"], weights["layer_norm_bias"], 1e-5)
    return torch.nn.functional.linear(normed, weights["weight"], weights["bias"])


try:
    from importlib import metadata
    version = metadata.version("transformer_engine")
except Exception:
    version = getattr(sys.modules["transformer_engine"], "__version__", "of unknown version")
what = "Transformer Engine %s in %s" % (version, "FP8" if fp8 else "bf16")
try:
    torch.manual_seed(3)
    layer = te.LayerNormLinear(512, 1024, bias=True, params_dtype=torch.bfloat16, device="cuda")
    given = torch.randn(256, 512, dtype=torch.float64).to(torch.bfloat16)
    pull = torch.randn(256, 1024, dtype=torch.float64).to(torch.bfloat16)
    weights = {name: value.detach().double().cpu().requires_grad_() for name, value in layer.named_parameters()}
    reference_given = given.double().requires_grad_()
    reference = layer_norm_linear(reference_given, weights)
    reference.backward(pull.double())
    cuda_given = given.cuda().requires_grad_()
    if fp8:
        from transformer_engine.common import recipe
        scaling = recipe.DelayedScaling(fp8_format=recipe.Format.HYBRID, amax_history_len=16, amax_compute_algo="max")
        # Twice: delayed scaling learns the range of the numbers in the first pass.
        for _ in range(2):
            layer.zero_grad()
            cuda_given.grad = None
            with te.fp8_autocast(enabled=True, fp8_recipe=scaling):
                output = layer(cuda_given)
            output.backward(pull.cuda())
    else:
        output = layer(cuda_given)
        output.backward(pull.cuda())
    torch.cuda.synchronize()
    differences = {"the output": apart(output, reference), "the gradient of the input": apart(cuda_given.grad, reference_given.grad)}
    for name, value in layer.named_parameters():
        differences["the gradient of %s" % name] = apart(value.grad, weights[name].grad)
except Exception as error:
    explained(torch, what, error)
if fp8 and max(differences.values()) == 0:
    failed("%s gave the very numbers of double precision" % what, "FP8 was not used")
compare(differences, 0.15 if fp8 else 0.03, what, "%s, LayerNormLinear forward and backward" % what)
