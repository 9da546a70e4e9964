"""An engine to compare with, in a process of its own: peer.py ENGINE build/bench/NETWORK THREADS.

Reads NETWORK.onnx and NETWORK.peer.npz (inputs by name), runs once, writes the result as NETWORK.ENGINE.npy. Then, for each line with a number of seconds on standard
input, it runs for that long and answers with the median in milliseconds. It is stopped between its turns (tests/bench/run), and so blocked or stopped is
all that its threads ever are while another engine is timed.
"""
import sys
import time

import numpy as np


def onnxruntime_run(path, inputs, threads):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, value in inputs.items():
        binding.bind_cpu_input(name, value)
    for result in session.get_outputs():
        binding.bind_output(result.name, "cpu")
    return lambda: session.run_with_iobinding(binding), lambda: binding.copy_outputs_to_cpu()[0]


def openvino_run(path, inputs, threads):
    import openvino as ov

    core = ov.Core()
    compiled = core.compile_model(core.read_model(path), "CPU", {
        "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": str(threads)})
    request = compiled.create_infer_request()
    tensors = [ov.Tensor(value, shared_memory=True) for value in inputs.values()]
    for name, tensor in zip(inputs, tensors):
        request.set_tensor(name, tensor)
    owners = core, compiled, tensors  # what a request rests on, but does not keep alive
    return request.infer, lambda: (request.get_output_tensor(0).data, owners)[0]


def timed(run):
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def turn(run, seconds):
    """The first run of a turn warms up, unless one takes so long that nothing is left to warm."""
    first = timed(run)
    times, end = [first] if first > 0.3 else [], time.perf_counter() + seconds - first
    while not times or time.perf_counter() < end:
        times.append(timed(run))
    return 1e3 * sorted(times)[len(times) // 2]


def main():
    engine, network, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    start = {"onnxruntime": onnxruntime_run, "openvino": openvino_run}[engine]
    run, result = start(network + ".onnx", dict(np.load(network + ".peer.npz")), threads)
    run()
    np.save(f"{network}.{engine}.npy", result())
    print(0, flush=True)
    for line in sys.stdin:
        print(turn(run, float(line)), flush=True)


main()
