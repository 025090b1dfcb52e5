"""The same file on the CPU and on a GPU, and what is said where there is none."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from sat_edge import Captioner, InputError
from sat_edge.runtime import CPURuntime, check_version, metadata
from sat_export import export_tflite

# A GPU made of software, which Debian's chromium carries.
SWIFTSHADER = Path("/usr/lib/chromium/vk_swiftshader_icd.json")
# In a process of its own: Vulkan reads its environment once.
RUN = """
import json, sys, warnings
import numpy as np
from sat_edge import Captioner
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    captioner = Captioner(sys.argv[1], accelerator="gpu")
pixels = np.load(sys.argv[2])
captions = [captioner.caption(each) for each in pixels]
print(json.dumps({
    "accelerator": captioner.accelerator,
    "warnings": [str(each.message) for each in caught],
    "tokens": [each.tokens.tolist() for each in captions],
    "attention": [each.attention.tolist() for each in captions],
    "beam": captioner.caption(pixels[0], beam_width=3).tokens.tolist(),
}))
"""


def on_gpu(path, pixels, folder, driver):
    np.save(folder / "pixels.npy", pixels)
    command = [sys.executable, "-c", RUN, str(path), str(folder / "pixels.npy")]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"VK_ICD_FILENAMES": str(driver)}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def gpu_file(captioner, tmp_path_factory):
    path = tmp_path_factory.mktemp("gpu") / "captioner.tflite"
    export_tflite(captioner, path, target="gpu")
    return path


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(5).integers(0, 256, (4, 32, 64, 3), dtype="uint8")


def test_a_file_for_the_gpu_has_no_loop(gpu_file):
    assert sorted(CPURuntime(gpu_file, 1).signatures) == ["encode", "step"]


def test_a_file_for_the_gpu_captions_on_the_cpu_too(gpu_file, tflite_file, pixels):
    there, here = Captioner(gpu_file), Captioner(tflite_file)
    for each in pixels:
        a, b = there.caption(each), here.caption(each)
        assert a.words == b.words
        np.testing.assert_allclose(a.attention, b.attention, atol=1e-5)


def test_a_file_with_a_loop_falls_back_to_the_cpu(tflite_file, pixels):
    with pytest.warns(UserWarning, match="made for the CPU; export it with `--target gpu`"):
        captioner = Captioner(tflite_file, accelerator="gpu")
    assert captioner.accelerator == "cpu"
    assert captioner.caption(pixels[0]).words == Captioner(tflite_file).caption(pixels[0]).words


def test_the_cpu_needs_no_warning(gpu_file):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Captioner(gpu_file).accelerator == "cpu"


def test_without_a_gpu_the_cpu_captions_and_says_so(gpu_file, pixels, tmp_path):
    found = on_gpu(gpu_file, pixels, tmp_path, tmp_path / "no-driver.json")
    assert found["accelerator"] == "cpu"
    (warning,) = found["warnings"]
    assert str(gpu_file) in warning and "no GPU that LiteRT can use was found" in warning
    assert found["tokens"] == [Captioner(gpu_file).caption(x).tokens.tolist() for x in pixels]


def test_unknown_accelerator(gpu_file):
    with pytest.raises(InputError, match="unknown accelerator 'npu'"):
        Captioner(gpu_file, accelerator="npu")


@pytest.mark.parametrize(
    ("here", "least", "refused"),
    [
        ("1.4.0", "2.1", True),
        ("2.0.9", "2.1", True),
        ("2.1.0", "2.1", False),
        ("2.10.0", "2.9", False),  # numbers, not text
        ("2.1.0", "1.4", False),
        ("3.0", "2.1", False),
    ],
)
def test_a_file_that_needs_a_newer_runtime(monkeypatch, here, least, refused):
    monkeypatch.setattr(metadata, "version", lambda package: here)
    if not refused:
        check_version("photo.tflite", least)
        return
    with pytest.raises(InputError) as error:
        check_version("photo.tflite", least)
    assert str(error.value) == (
        f"photo.tflite: needs LiteRT {least}, and {here} is here; "
        f"pip install 'ai-edge-litert>={least}'"
    )


def test_the_version_is_looked_at_before_the_model(captioner, tflite_file, tmp_path, monkeypatch):
    """int4 files caption with wrong words on an older one, without an error."""
    path = tmp_path / "captioner.tflite"
    export_tflite(captioner, path, quantize="none", quantize_decoder="int4")
    monkeypatch.setattr(metadata, "version", lambda package: "2.0.3")
    assert Captioner(tflite_file).settings.least_litert == "1.4"
    with pytest.raises(InputError, match=r"captioner\.tflite: needs LiteRT 2\.1, and 2\.0\.3 is"):
        Captioner(path)


@pytest.fixture
def swiftshader():
    if not SWIFTSHADER.exists():
        pytest.skip("no software GPU: install Debian's chromium and libvulkan1")
    return SWIFTSHADER


@pytest.mark.slow
def test_all_of_it_runs_on_a_gpu(gpu_file, pixels, tmp_path, swiftshader):
    found = on_gpu(gpu_file, pixels, tmp_path, swiftshader)
    assert (found["accelerator"], found["warnings"]) == ("gpu", [])
    here = Captioner(gpu_file)
    assert found["beam"] == here.caption(pixels[0], beam_width=3).tokens.tolist()
    for tokens, attention, each in zip(found["tokens"], found["attention"], pixels, strict=True):
        wanted = here.caption(each)
        assert tokens == wanted.tokens.tolist()
        np.testing.assert_allclose(attention, wanted.attention, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("inject", ["first", "every", "only"])
def test_captioners_without_attention_run_on_a_gpu(
    make_captioner, pixels, tmp_path, swiftshader, inject
):
    """Their first state is all zeros, twice, and attention is the same at every step."""
    path = tmp_path / "captioner.tflite"
    export_tflite(make_captioner(attention="none", inject=inject), path, target="gpu")
    found, here = on_gpu(path, pixels, tmp_path, swiftshader), Captioner(path)
    assert (found["accelerator"], found["warnings"]) == ("gpu", [])
    assert found["tokens"] == [here.caption(each).tokens.tolist() for each in pixels]
    assert len({tuple(each) for each in found["tokens"]}) > 1
    for rows in found["attention"]:
        np.testing.assert_allclose(rows, 1 / 8, atol=1e-6)


@pytest.mark.slow
def test_int8_weights_run_on_a_gpu(captioner, pixels, tmp_path, swiftshader):
    """There, what goes in stays float32: what comes out is not the CPU's."""
    export_tflite(captioner, tmp_path / "captioner.tflite", "dynamic", target="gpu")
    found = on_gpu(tmp_path / "captioner.tflite", pixels, tmp_path, swiftshader)
    assert (found["accelerator"], found["warnings"]) == ("gpu", [])
