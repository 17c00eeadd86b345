# Lets the driver compile a small kernel, runs it and compares every number. Input: {}

import array

COUNT = 1 << 20
# out[i] = in[i] * 3 + i. The oldest target that drivers in use still compile for comes last.
KERNEL = """
.version 6.0
.target sm_%d
.address_size 64
.visible .entry scale(.param .u64 from, .param .u64 to, .param .u32 count)
{
    .reg .pred %%p<2>;
    .reg .b32 %%r<9>;
    .reg .b64 %%d<7>;
    ld.param.u64 %%d1, [from];
    ld.param.u64 %%d2, [to];
    ld.param.u32 %%r1, [count];
    mov.u32 %%r2, %%ctaid.x;
    mov.u32 %%r3, %%ntid.x;
    mov.u32 %%r4, %%tid.x;
    mad.lo.s32 %%r5, %%r2, %%r3, %%r4;
    setp.ge.u32 %%p1, %%r5, %%r1;
    @%%p1 bra done;
    cvta.to.global.u64 %%d3, %%d1;
    cvta.to.global.u64 %%d4, %%d2;
    mul.wide.u32 %%d5, %%r5, 4;
    add.s64 %%d3, %%d3, %%d5;
    add.s64 %%d4, %%d4, %%d5;
    ld.global.u32 %%r6, [%%d3];
    mad.lo.u32 %%r7, %%r6, 3, %%r5;
    st.global.u32 [%%d4], %%r7;
done:
    ret;
}
"""

cuda, _ = start_driver()


def compiled():
    """Returns the kernel, compiled by the driver for the GPU."""
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    for target in (70, 50, 75):
        try:
            cuda.cuModuleLoadData(ctypes.byref(module), ctypes.c_char_p((KERNEL % target).encode()))
            cuda.cuModuleGetFunction(ctypes.byref(function), module, b"scale")
            return function, target
        except Stopped as error:
            last = error
            if error.status not in (INVALID_PTX, UNSUPPORTED_PTX, NO_BINARY, 200):
                break
    raise last


try:
    device, _ = cuda.enter(0)
    function, target = compiled()
    numbers = array.array("I", ((i * 2654435761) & 0xFFFFFFFF for i in range(COUNT)))
    size = ctypes.c_size_t(COUNT * 4)
    source, result = cuda.allocate(COUNT * 4), cuda.allocate(COUNT * 4)
    cuda.cuMemcpyHtoD_v2(source, ctypes.c_void_p(numbers.buffer_info()[0]), size)
    cuda.cuMemsetD8_v2(result, 0, size)
    count = ctypes.c_uint(COUNT)
    arguments = (ctypes.c_void_p * 3)(*(ctypes.addressof(value) for value in (source, result, count)))
    cuda.cuLaunchKernel(function, (COUNT + 255) // 256, 1, 1, 256, 1, 1, 0, None, arguments, None)
    cuda.cuCtxSynchronize()
    got = array.array("I", bytes(COUNT * 4))
    cuda.cuMemcpyDtoH_v2(ctypes.c_void_p(got.buffer_info()[0]), result, size)
    name = cuda.name(device)
except Stopped as error:
    stopped(error)
wrong = sum(1 for i, (a, b) in enumerate(zip(numbers, got)) if (a * 3 + i) & 0xFFFFFFFF != b)
if wrong:
    failed("%d of %d numbers that the kernel wrote are wrong" % (wrong, COUNT), "this GPU does not compute: drain the node")
passed("a kernel of the driver's own compiler ran on %s, %d numbers right" % (name, COUNT))
