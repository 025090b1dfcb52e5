import json
import resource
import zipfile
from collections import Counter

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from sat_edge import Captioner, InputError
from sat_export import export_tflite


def operators(path):
    return Counter(each["op_name"] for each in Interpreter(str(path))._get_ops_details())


def test_three_signatures_with_the_contract_s_shapes(tflite_file):
    signatures = Interpreter(str(tflite_file)).get_signature_list()
    found = {
        name: (sorted(each["inputs"]), sorted(each["outputs"])) for name, each in signatures.items()
    }
    assert found == {
        "caption": (["image"], ["attention", "log_prob", "tokens"]),
        "encode": (["image"], ["annotations", "c", "h", "projected"]),
        "step": (
            ["annotations", "c", "h", "projected", "token"],
            ["attention", "c", "h", "logits"],
        ),
    }
    runner = Interpreter(str(tflite_file)).get_signature_runner("caption")
    outputs = {name: tuple(each["shape"]) for name, each in runner.get_output_details().items()}
    assert outputs == {"tokens": (1, 7), "attention": (1, 7, 8), "log_prob": (1,)}
    assert runner.get_output_details()["tokens"]["dtype"] == np.int32


def test_builtin_operators_and_static_shapes_only(tflite_file):
    names = operators(tflite_file)
    assert names["WHILE"] == 1
    assert not [name for name in names if name.startswith("Flex") or name == "CUSTOM"]
    interpreter = Interpreter(str(tflite_file))
    for subgraph in range(interpreter._interpreter.NumSubgraphs()):
        for tensor in interpreter.get_tensor_details(subgraph):
            assert -1 not in tensor["shape_signature"], tensor["name"]


def test_vocabulary_and_settings_are_inside(captioner, tflite_file):
    with zipfile.ZipFile(tflite_file) as inside:
        words = inside.read("vocabulary.txt").decode().splitlines()
        settings = json.loads(inside.read("captioner.json"))
    assert words == captioner.vocabulary.words
    assert settings["grid"] == [2, 4]
    assert settings["image_size"] == [32, 64]
    assert settings["encoder"]["backbone"] == "mobilenet"


def test_signatures_share_their_weights(captioner, tflite_file):
    """The file holds each weight once: three signatures would be three times the size."""
    weights = 4 * sum(int(np.prod(each.shape)) for each in captioner.weights)
    assert weights < tflite_file.stat().st_size < 1.6 * weights


@pytest.mark.parametrize("scheme, at_most", [("float16", 0.75), ("dynamic", 0.6)])
def test_quantised_files_are_smaller_and_say_nearly_the_same(
    captioner, tflite_file, photos, tmp_path, scheme, at_most
):
    path = tmp_path / f"{scheme}.tflite"
    size = export_tflite(captioner, path, scheme)
    assert size == path.stat().st_size < at_most * tflite_file.stat().st_size
    floating, quantised = Captioner(tflite_file), Captioner(path)
    for photo in photos:
        wanted = floating.encode(photo)["annotations"]
        found = quantised.encode(photo)["annotations"]
        assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.95
        assert quantised.caption(photo).words


def test_unknown_scheme(captioner, tmp_path):
    with pytest.raises(InputError, match="unknown quantisation 'int3': choose one of"):
        export_tflite(captioner, tmp_path / "x.tflite", "int3")


def test_full_disk_leaves_the_old_file(captioner, tflite_file, tmp_path):
    path = tmp_path / "captioner.tflite"
    path.write_bytes(b"the old file")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = tflite_file.stat().st_size
    from sat_export import tflite

    write = tflite.atomic_output

    def limited(target):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
        return write(target)

    tflite.atomic_output = limited
    try:
        with pytest.raises(OSError, match="File too large"):
            export_tflite(captioner, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        tflite.atomic_output = write
    assert path.read_bytes() == b"the old file"
    assert list(tmp_path.iterdir()) == [path]
