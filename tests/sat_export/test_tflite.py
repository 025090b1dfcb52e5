import json
import resource
import zipfile
from collections import Counter

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from sat_edge import Captioner, InputError, Search, to_pixels
from sat_export import export_tflite, quantization
from sat_export.flatbuffer import operators, parse, type_of
from sat_export.quantization_aware import train_encoder
from sat_export.tflite import _check_for_gpu
from sat_keras import Captioner as KerasCaptioner
from sat_keras import encoders


def operator_names(path):
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
    names = operator_names(tflite_file)
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
    assert settings["captioner"]["units"] == 16
    assert (settings["format"], settings["target"]) == (1, "cpu")
    assert settings["search"]["beam_width"] == 1


@pytest.mark.slow
def test_a_file_s_search_is_the_captioner_s_or_the_named_one(make_captioner, tmp_path):
    own, named = Search(beam_width=5, length_penalty=0.7, no_repeat_ngram=2, n_best=3), Search()
    captioner, path = make_captioner(search=own), tmp_path / "captioner.tflite"
    for search, wanted in ((None, own), (named, named)):
        export_tflite(captioner, path, target="gpu", search=search)
        assert Captioner(path).search == wanted
    assert captioner.search == own


@pytest.mark.slow
def test_each_output_is_a_tensor_of_its_own(make_captioner, tmp_path):
    """Also where two are the same: the first h and c of a captioner without attention are zero."""
    path = tmp_path / "captioner.tflite"
    export_tflite(make_captioner(attention="none"), path)
    interpreter = Interpreter(str(path))
    for name, ends in interpreter.get_signature_list().items():
        details = interpreter.get_signature_runner(name).get_output_details()
        assert len({each["index"] for each in details.values()}) == len(ends["outputs"])
    outputs = interpreter.get_signature_runner("encode")(image=np.ones((1, 32, 64, 3), "float32"))
    assert sorted(outputs) == ["c", "h", "image"]
    for name in ("h", "c"):
        np.testing.assert_array_equal(outputs[name], np.zeros((1, 16)))


def test_signatures_share_their_weights(captioner, tflite_file):
    """The file holds each weight once: three signatures would be three times the size."""
    weights = 4 * sum(int(np.prod(each.shape)) for each in captioner.weights)
    assert weights < tflite_file.stat().st_size < 1.6 * weights


@pytest.mark.slow
def test_lists_of_numbers_are_written_once(captioner, tmp_path, folder):
    """Three signatures have scales and zero points each for the weights that they share."""
    export_tflite(captioner, tmp_path / "int8.tflite", "int8", photos=folder)
    model = (tmp_path / "int8.tflite").read_bytes()
    kernels = [
        tensor.quantization.scale
        for graph in parse(model).subgraphs
        for tensor in graph.tensors
        if tensor.quantization is not None
        and tensor.quantization.scale is not None
        and len(tensor.quantization.scale) > 16
    ]
    different = {each.tobytes() for each in kernels}
    assert len(kernels) >= 2 * len(different) > 0
    assert [model.count(each) for each in different] == [1] * len(different)


def test_target_gpu_refuses_what_gpus_lack(captioner, tflite_file, tmp_path):
    with pytest.raises(InputError, match="GPUs take none, dynamic, int8, qat"):
        export_tflite(captioner, tmp_path / "a.tflite", "float16", target="gpu")
    with pytest.raises(InputError, match=r"GPUs have no \w+, which `(caption|while\w*)` needs"):
        _check_for_gpu(tflite_file.read_bytes())
    with pytest.raises(InputError, match="unknown target 'tpu'"):
        export_tflite(captioner, tmp_path / "a.tflite", target="tpu")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twenty photos to find ranges on, and two files that are none."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(20):
        coarse = Image.fromarray(rng.integers(0, 256, (3, 5, 3), dtype="uint8"))
        coarse.resize((70, 40), Image.Resampling.BICUBIC).save(folder / f"{i:02d}.png")
    (folder / "07b.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("of the trip")
    return folder


# name: (options, the file's size beside float32's at most, least correlation of annotations)
QUANTIZED = {
    "float16": ({"quantize": "float16"}, 0.6, 0.99),
    "dynamic": ({"quantize": "dynamic"}, 0.55, 0.9),
    "int8": ({"quantize": "int8"}, 0.55, 0.85),
    # A few steps of training.
    "qat": ({"quantize": "qat", "epochs": 3}, 0.6, 0.75),
    "qat by words": ({"quantize": "qat", "epochs": 3, "loss": "words"}, 0.6, 0.75),
    "int4": ({"quantize": "int4"}, 0.53, 0.85),
    "float16 and int4": ({"quantize": "float16", "quantize_decoder": "int4"}, 0.6, 0.99),
}


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=[pytest.mark.slow] * (each != "int4")) for each in QUANTIZED]
)
def test_quantised_files_are_smaller_and_see_nearly_the_same(
    captioner, tflite_file, photos, folder, tmp_path, name
):
    options, at_most, correlation = QUANTIZED[name]
    path = tmp_path / "captioner.tflite"
    size = export_tflite(captioner, path, photos=folder, **options)
    assert size == path.stat().st_size < at_most * tflite_file.stat().st_size
    floating, quantised = Captioner(tflite_file), Captioner(path)
    for photo in photos:
        wanted = floating.encode(photo)["annotations"]
        found = quantised.encode(photo)["annotations"]
        assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > correlation
        greedy, best = quantised.caption(photo), quantised.caption(photo, beam_width=2)
        assert greedy.log_prob < 0 and best.log_prob < 0


def products(path):
    """Of each product with weights: its operator, its weights' and its result's type."""
    found = set()
    for graph, operator, kind in operators(parse(path.read_bytes())):
        if kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "EMBEDDING_LOOKUP"):
            tensors = (graph.tensors[i] for i in (operator.inputs[1], operator.outputs[0]))
            found.add((kind, *map(type_of, tensors)))
    return found


@pytest.mark.slow
def test_each_part_has_its_scheme(captioner, folder, tmp_path):
    path = tmp_path / "captioner.tflite"
    export_tflite(captioner, path, "int8", photos=folder)
    assert products(path) == {
        ("CONV_2D", "INT8", "INT8"),
        ("DEPTHWISE_CONV_2D", "INT8", "INT8"),
        ("FULLY_CONNECTED", "INT8", "FLOAT32"),
        ("EMBEDDING_LOOKUP", "INT8", "FLOAT32"),
    }
    assert Captioner(path).settings.quantization == {"encoder": "int8", "decoder": "dynamic"}
    export_tflite(captioner, path, "none", "int4")
    assert products(path) == {
        ("CONV_2D", "FLOAT32", "FLOAT32"),
        ("DEPTHWISE_CONV_2D", "FLOAT32", "FLOAT32"),
        ("FULLY_CONNECTED", "INT4", "FLOAT32"),
        ("EMBEDDING_LOOKUP", "INT4", "FLOAT32"),
    }


@pytest.mark.slow
def test_large_kernels_take_int4(captioner, folder, tmp_path, monkeypatch):
    path = tmp_path / "captioner.tflite"
    monkeypatch.setattr(quantization, "_LARGE", 64 * 128)
    export_tflite(captioner, path, "int4", photos=folder)
    found = {}
    for graph, operator, kind in operators(parse(path.read_bytes())):
        if kind == "CONV_2D":
            kernel = graph.tensors[operator.inputs[1]]
            found[int(np.prod(kernel.shape))] = type_of(kernel)
    large = [kind for size, kind in found.items() if size >= 64 * 128]
    small = [kind for size, kind in found.items() if size < 64 * 128]
    assert set(large) == {"INT4"} and set(small) == {"INT8"}
    assert Captioner(path).settings.quantization == {"encoder": "int4", "decoder": "int4"}


@pytest.mark.slow
def test_training_for_int8_brings_the_encoder_closer(captioner, tflite_file, photos, folder):
    """What TFMOT trained is what runs: the network in the file is int8, and learns."""
    images = np.stack([to_pixels(each, captioner.encoder.image_size) for each in photos * 2])
    errors = []
    for epochs in (1, 20):
        model = train_encoder(captioner, images, epochs=epochs, learning_rate=1e-3)
        errors.append(relative_error(model, captioner.encoder, images))
    assert errors[1] < 0.7 * errors[0]
    assert types_of_convolutions(model) == {"INT8"}


@pytest.mark.slow
def test_efficientnet_lite_can_be_trained_for_int8(vocabulary, photos):
    """Its network is built anew in Keras 2, which has none, with the weights in their places."""
    encoder = encoders.efficientnet_lite0(layer="block3b_add", image_size=(64, 64))
    captioner = KerasCaptioner(encoder, vocabulary, units=4, embedding_size=4, attention_size=4)
    images = np.stack([to_pixels(each, encoder.image_size) for each in photos * 2])
    model = train_encoder(captioner, images, epochs=1, learning_rate=0.0)
    assert relative_error(model, encoder, images) < 0.05
    assert types_of_convolutions(model) == {"INT8"}


def relative_error(model, encoder, images):
    wanted = encoder.predict(images.astype("float32"), verbose=0)  # (N, L, D)
    run = Interpreter(model_content=model).get_signature_runner()
    found = [next(iter(run(image=each[None].astype("float32")).values())) for each in images]
    return np.square(np.reshape(found, wanted.shape) - wanted).mean() / np.square(wanted).mean()


def types_of_convolutions(model):
    return {
        type_of(graph.tensors[operator.outputs[0]])
        for graph, operator, kind in operators(parse(model))
        if "CONV" in kind
    }


@pytest.mark.slow
def test_patches_cannot_be_trained_for_int8(make_captioner, folder, tmp_path):
    with pytest.raises(InputError, match="qat trains encoders of a grid, not of patches"):
        export_tflite(make_captioner(patches=3), tmp_path / "x.tflite", "qat", photos=folder)


def test_an_encoder_without_attention_cannot_be_trained_for_int8(make_captioner, photos):
    captioner = make_captioner(attention="none")
    images = np.stack([to_pixels(each, captioner.encoder.image_size) for each in photos])
    with pytest.raises(InputError, match="qat trains encoders of captioners with attention"):
        train_encoder(captioner, images)


@pytest.mark.slow
def test_photos_that_cannot_be_read_are_named(captioner, folder, tmp_path, capsys):
    export_tflite(captioner, tmp_path / "captioner.tflite", "int8", photos=folder)
    said = capsys.readouterr().err
    assert f"left out: {folder / '07b.jpg'}: the file is empty" in said
    assert f"left out: {folder / 'notes.txt'}: not a picture" in said
    for path in sorted(folder.iterdir())[:5]:
        path.rename(tmp_path / path.name)
    with pytest.raises(InputError, match=r"15 photos can be read; name 16 or more"):
        export_tflite(captioner, tmp_path / "other.tflite", "int8", photos=folder)
    assert not (tmp_path / "other.tflite").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"quantize": "int3"}, "unknown quantisation 'int3': choose one of"),
        ({"quantize_decoder": "int8"}, "unknown quantisation 'int8': choose one of"),
        ({"quantize": "int8"}, "int8, qat, int4 and compression need photos: name a folder"),
        ({"quantize": "int4"}, "int8, qat, int4 and compression need photos: name a folder"),
        ({"quantize": "qat"}, "int8, qat, int4 and compression need photos: name a folder"),
        ({"compression": {"sparsity": 0.5}}, "int8, qat, int4 and compression need photos"),
        ({"quantize": "int4", "photos": "nowhere"}, "nowhere: no such folder of photos"),
    ],
)
def test_schemes_that_cannot_be(captioner, tmp_path, options, says):
    with pytest.raises(InputError, match=says):
        export_tflite(captioner, tmp_path / "x.tflite", **options)


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
