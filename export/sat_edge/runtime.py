"""A file on the CPU or on a GPU: `run(signature, **inputs)` gives the outputs by name."""

import os
from importlib import metadata

import numpy as np

from sat_edge.errors import InputError

ACCELERATORS = ("cpu", "gpu")
_EXPORT = "export it with `--target gpu`, which leaves the loop of `caption` out"


def check_version(path, least):
    """Refuses a file that needs a newer LiteRT: an older one may caption it with wrong words.

    Args:
        path: the file.
        least: str, the oldest version that runs it correctly, such as `"2.1"`.
    Raises:
        InputError: if the version here is older.
    """
    try:
        version = metadata.version("ai-edge-litert")
    except metadata.PackageNotFoundError:  # the runtime's import says so
        return
    if _numbers(version) < _numbers(least):
        raise InputError(
            f"{path}: needs LiteRT {least}, and {version} is here; "
            f"pip install 'ai-edge-litert>={least}'"
        )


def _numbers(version):
    """`"2.1.6"` to `[2, 1, 6, 0]`."""
    numbers = [int(part) for part in version.split(".") if part.isdecimal()]
    return (numbers + [0] * 4)[:4]


class CPURuntime:
    """LiteRT's interpreter.

    Args:
        path: a `.tflite` file.
        threads: int.
    Raises:
        InputError: if the file is damaged.
    """

    def __init__(self, path, threads):
        # Here, since training imports `sat_edge` too, and needs no LiteRT.
        from ai_edge_litert.interpreter import Interpreter

        try:
            self._interpreter = Interpreter(str(path), num_threads=threads)
            self._runners = {
                name: self._interpreter.get_signature_runner(name)
                for name in self._interpreter.get_signature_list()
            }
        except ValueError as error:
            raise InputError(f"{path}: damaged file; export it again") from error
        self.signatures = tuple(self._runners)

    def run(self, signature, **inputs):
        return self._runners[signature](**inputs)

    def output_names(self, signature):
        """None where there is no such signature."""
        runner = self._runners.get(signature)
        return tuple(runner.get_output_details()) if runner else ()

    def output_shape(self, signature, name):
        return tuple(self._runners[signature].get_output_details()[name]["shape"])


class GPURuntime:
    """LiteRT's compiled model, all of it on the GPU: through Vulkan, Metal or Direct3D.

    Args:
        path: a `.tflite` file of `encode` and `step` alone: no GPU has loops.
        target: str, what it was exported for. The GPU's library would end the process on some
            files that were not for a GPU.
    Raises:
        InputError: where there is no such GPU, or it does not take all of the file.
    """

    def __init__(self, path, target):
        if target != "gpu":
            raise InputError(f"{path}: made for the CPU; {_EXPORT}")
        # The GPU's library looks for this folder, and ends the process where it is not named.
        os.environ.setdefault("XDG_RUNTIME_DIR", "/tmp")
        from ai_edge_litert.compiled_model import CompiledModel, HardwareAccelerator

        try:
            self._model = CompiledModel.from_file(str(path), HardwareAccelerator.GPU)
        except RuntimeError as error:
            if "not accelerated" in str(error):
                raise InputError(f"{path}: the GPU takes a part of it only; {_EXPORT}") from error
            raise InputError(f"{path}: no GPU that LiteRT can use was found here") from error
        self.signatures = tuple(self._model.get_signature_list())
        self._inputs, self._outputs, self._details = {}, {}, {}
        for name, ends in self._model.get_signature_list().items():
            self._inputs[name] = {
                each: self._model.create_input_buffer_by_name(name, each) for each in ends["inputs"]
            }
            self._outputs[name] = {
                each: self._model.create_output_buffer_by_name(name, each)
                for each in ends["outputs"]
            }
            self._details[name] = self._model.get_output_tensor_details(name)

    def run(self, signature, **inputs):
        buffers, results = self._inputs[signature], self._outputs[signature]
        for name, value in inputs.items():
            buffers[name].write(np.ascontiguousarray(value))
        self._model.run_by_name(signature, buffers, results)
        found = {}
        for name, buffer in results.items():
            shape = self.output_shape(signature, name)
            found[name] = buffer.read(int(np.prod(shape)), np.float32).reshape(shape)
        return found

    def output_names(self, signature):
        """None where there is no such signature."""
        return tuple(self._details.get(signature, ()))

    def output_shape(self, signature, name):
        return tuple(self._details[signature][name]["shape"])


def open_runtime(path, threads, accelerator, target):
    """The accelerator's runtime; where it cannot be had, the CPU's, and the reason.

    Args:
        path, threads: see `CPURuntime`.
        accelerator: str, of `ACCELERATORS`.
        target: see `GPURuntime`.
    """
    if accelerator == "cpu":
        return CPURuntime(path, threads), None
    try:
        return GPURuntime(path, target), None
    except InputError as error:
        return CPURuntime(path, threads), str(error)
