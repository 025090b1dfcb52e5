import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from sat_edge import InputError
from sat_edge.search import Search
from sat_keras import Captioner, pretrained
from sat_keras.metrics import caption_scores
from sat_keras.objectives import SelfCritical


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(0, 255, (3, 32, 64, 3)).astype("float32")


def nine_bits(kernel):
    fraction, exponent = np.frexp(kernel.astype("float16").astype("float64"))
    return np.ldexp(np.copysign(np.floor(abs(fraction) * 2**9 + 0.5), fraction), exponent - 9)


def test_a_preset_says_what_the_captioner_said(make_captioner, images, tmp_path):
    captioner = make_captioner(search=Search(beam_width=2, no_repeat_ngram=2))
    captioner.compile(objective=SelfCritical(temperature=0.9))  # no matter of the captioner's
    captioner.save_to_preset(tmp_path / "mine")
    loaded = Captioner.from_preset(tmp_path / "mine")
    assert not loaded.compiled and loaded.search == captioner.search
    for part in (captioner.encoder, captioner.decoder):
        weights = part.get_weights()
        part.set_weights([nine_bits(each) if each.ndim > 1 else each for each in weights])
    assert loaded.get_config() == {**captioner.get_config(), "name": loaded.name}
    for one, other in zip(captioner.caption(images), loaded.caption(images), strict=True):
        assert one.text == other.text
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)
        np.testing.assert_allclose(one.attention, other.attention, atol=1e-5)
    sizes = {each.name: each.stat().st_size for each in (tmp_path / "mine").iterdir()}
    assert sizes.keys() == {"config.json", "vocabulary.txt", "weights.npz"}
    assert sizes["weights.npz"] < 2.5 * captioner.count_params()  # 4 bytes each in float32


def test_the_decoder_alone_takes_encoder_weights_by_path(make_captioner, images, tmp_path):
    captioner = make_captioner()
    captioner.save_to_preset(tmp_path / "mine", with_encoder=False)
    weights = np.load(tmp_path / "mine" / "weights.npz")
    assert len(weights) == len(captioner.decoder.get_weights())
    with pytest.raises(InputError, match="none.h5: no such weights file"):
        Captioner.from_preset(tmp_path / "mine", encoder_weights=tmp_path / "none.h5")
    with pytest.raises(InputError, match="was trained with other encoder weights than None"):
        Captioner.from_preset(tmp_path / "mine", encoder_weights=None)
    network = captioner.encoder.get_layer("mobilenet")
    with h5py.File(tmp_path / "encoder.h5", "w") as file:  # as Keras Applications distributes them
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    loaded = Captioner.from_preset(tmp_path / "mine", encoder_weights=tmp_path / "encoder.h5")
    texts = [each.text for each in captioner.caption(images)]
    assert [each.text for each in loaded.caption(images)] == texts


def test_unknown_and_damaged_presets(make_captioner, tmp_path):
    with pytest.raises(InputError, match="unknown preset 'flickr8k-loud'"):
        Captioner.from_preset("flickr8k-loud")
    with pytest.raises(InputError, match="not a preset's files"):
        Captioner.from_preset(tmp_path)
    make_captioner().save_to_preset(tmp_path / "mine")
    path = tmp_path / "mine" / "weights.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="mine: (not a preset's files|its weights are)"):
        Captioner.from_preset(tmp_path / "mine")
    make_captioner(units=5).save_to_preset(tmp_path / "other")
    path.write_bytes((tmp_path / "other" / "weights.npz").read_bytes())
    with pytest.raises(InputError, match="mine: not a preset's files"):
        Captioner.from_preset(tmp_path / "mine")


def change_search(folder, search):
    """Replaces the search of a preset's config.json; `None` takes it out."""
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), "search": search}
    if search is None:
        del config["search"]
    path.write_text(json.dumps(config))


def test_a_preset_of_version_0_1_is_refused_in_one_line(make_captioner, tmp_path):
    folder = tmp_path / "mine"
    make_captioner().save_to_preset(folder)
    change_search(folder, None)  # it had none
    line = f"{folder}: a preset of sat_keras 0.1; save it again by this version"
    for read in (Captioner.from_preset, pretrained.trained_on):
        with pytest.raises(InputError, match=f"^{re.escape(line)}$"):
            read(folder)


def test_a_search_that_cannot_be_is_named_with_its_file(make_captioner, tmp_path):
    make_captioner().save_to_preset(tmp_path / "mine")
    change_search(tmp_path / "mine", {"beam_width": 0})
    line = f"{tmp_path / 'mine' / 'config.json'}: beam_width is 0: name 1 or more"
    with pytest.raises(InputError, match=f"^{re.escape(line)}$"):
        Captioner.from_preset(tmp_path / "mine")
    change_search(tmp_path / "mine", {"width": 3})
    with pytest.raises(InputError, match="mine: not a preset's files .*width"):
        Captioner.from_preset(tmp_path / "mine")


def test_what_is_a_preset(make_captioner, tmp_path):
    assert all(pretrained.is_preset(name) for name in pretrained.NAMES)
    assert not pretrained.is_preset(tmp_path) and not pretrained.is_preset("flickr8k-loud")
    make_captioner().save_to_preset(tmp_path / "mine", trained_on="shapes")
    assert pretrained.is_preset(tmp_path / "mine")
    assert pretrained.trained_on(tmp_path / "mine") == "shapes"


def test_another_folder_is_not_replaced(make_captioner, tmp_path):
    captioner = make_captioner()
    captioner.save_to_preset(tmp_path / "mine")
    captioner.save_to_preset(tmp_path / "mine")  # a preset is
    (tmp_path / "mine" / "log.csv").write_text("epoch")
    with pytest.raises(InputError, match=r"mine: holds log.csv; name a folder of its own"):
        captioner.save_to_preset(tmp_path / "mine")
    assert (tmp_path / "mine" / "weights.npz").exists()


@pytest.mark.parametrize("name", pretrained.NAMES)
def test_what_comes_with_the_package_is_small_and_whole(name):
    folder = Path(pretrained.__file__).parent / name
    assert {each.name for each in folder.iterdir()} == {
        "README.md",
        "config.json",
        "vocabulary.txt",
        "weights.npz",
    }
    assert sum(each.stat().st_size for each in folder.iterdir()) < 16e6
    captioner = Captioner.from_preset(name, encoder_weights=None)
    assert all(np.isfinite(each).all() for each in captioner.get_weights())


@pytest.mark.slow
@pytest.mark.parametrize("preset", pretrained.NAMES)
def test_what_comes_with_the_package_captions_photos_that_it_was_not_trained_on(preset, shared):
    flickr8k = shared / "data" / "flickr8k"
    names = (flickr8k / "Flickr_8k.testImages.txt").read_text().split()[:100]
    references = {name: [] for name in names}
    for line in (flickr8k / "Flickr8k.token.txt").read_text().splitlines():
        name, _, caption = line.partition("\t")
        if name[:-2] in references:
            references[name[:-2]].append(caption)
    captioner = Captioner.from_preset(preset)
    found = captioner.caption([flickr8k / "Flicker8k_Dataset" / name for name in names])
    scores = caption_scores([each.text for each in found], list(references.values()))
    assert scores["CIDEr"] > 0.4 and scores["BLEU-4"] > 0.15


@pytest.mark.slow
def test_what_a_preset_cannot_hold(make_captioner, tmp_path):
    captioner = make_captioner()
    captioner.quantize("int8")
    with pytest.raises(InputError, match="a preset cannot hold quantized layers: use captioner"):
        captioner.save_to_preset(tmp_path / "mine")
    assert not (tmp_path / "mine").exists()
