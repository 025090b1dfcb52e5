import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from sat_edge import Captioner, InputError, Search, to_pixels
from sat_export import export_tflite
from sat_export.benchmark import THREADS, benchmark, median_seconds, plain_encoder


def annotate(model, pixels):
    run = Interpreter(model_content=model).get_signature_runner("encode")
    return run(image=pixels[None].astype("float32"))


@pytest.mark.parametrize("scheme", ["none", pytest.param("dynamic", marks=pytest.mark.slow)])
def test_the_plain_encoder_is_the_file_s(captioner, photos, tmp_path, scheme):
    path = tmp_path / "captioner.tflite"
    export_tflite(captioner, path, scheme)
    encoder, edge = plain_encoder(path.read_bytes()), Captioner(path)
    pixels = to_pixels(photos[0], edge.image_size)
    found = annotate(encoder, pixels)
    assert list(found) == ["annotations"]
    np.testing.assert_array_equal(found["annotations"], edge.encode(pixels)["annotations"])
    weights = sum(int(np.prod(each.shape)) for each in captioner.encoder.weights)
    assert len(encoder) < (4 if scheme == "none" else 2) * weights


@pytest.mark.slow
def test_a_benchmark(captioner, photos, tmp_path):
    """Of a file whose own search is a wide beam, far slower than a greedy one."""
    photo, path = tmp_path / "photo.png", tmp_path / "captioner.tflite"
    photos[0].save(photo)
    export_tflite(captioner, path, search=Search(beam_width=40))
    found = benchmark(path, photo, captioner, repeats=3)
    assert found["tokens"] == len(Captioner(path).caption(photo, beam_width=1).tokens)
    assert found["encoder_bytes"] < found["bytes"] > found["zipped_bytes"]
    assert found["encoder_operators"] < found["operators"]
    assert found["cold_start_s"] > 0.01 and found["keras_ms"] > 0
    assert 10 < found["peak_mb"] < 200  # not what this process has
    for threads in THREADS:
        row = found["threads"][str(threads)]
        assert row["encoder_ms"] > 0 and row["step_ms"] > 0 and row["encode_ms"] > 0
        assert row["caption_to_encoder"] == row["caption_ms"] / row["encoder_ms"]
        assert row["default_caption_ms"] > 3 * row["caption_ms"]


def test_medians_of_functions_that_take_turns():
    calls = []
    found = median_seconds({name: lambda name=name: calls.append(name) for name in "ab"}, 3)
    assert calls == ["a", "b"] * 4
    assert set(found) == {"a", "b"} and all(each > 0 for each in found.values())


@pytest.mark.slow
def test_no_encoder_alone_without_attention(make_captioner, tmp_path):
    path = tmp_path / "captioner.tflite"
    export_tflite(make_captioner(attention="none", inject="first"), path)
    with pytest.raises(InputError, match="no annotations in the file"):
        plain_encoder(path.read_bytes())
