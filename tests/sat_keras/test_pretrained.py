import numpy as np
import pytest

from sat_edge import InputError
from sat_keras import Captioner


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(0, 255, (3, 32, 64, 3)).astype("float32")


def test_a_preset_says_what_the_captioner_said(make_captioner, images, tmp_path):
    captioner = make_captioner()
    captioner.save_to_preset(tmp_path / "mine", with_encoder=True)
    loaded = Captioner.from_preset(tmp_path / "mine")
    for part in (captioner.encoder, captioner.decoder):
        weights = part.get_weights()
        rounded = [each.astype("float16") if each.ndim > 1 else each for each in weights]
        part.set_weights(rounded)
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
    captioner.save_to_preset(tmp_path / "mine")
    weights = np.load(tmp_path / "mine" / "weights.npz")
    assert len(weights) == len(captioner.decoder.get_weights())
    with pytest.raises(InputError, match="none.h5: no such weights file"):
        Captioner.from_preset(tmp_path / "mine", encoder_weights=tmp_path / "none.h5")
    random = Captioner.from_preset(tmp_path / "mine", encoder_weights=None)
    random.encoder.set_weights(captioner.encoder.get_weights())
    texts = [each.text for each in captioner.caption(images)]
    assert [each.text for each in random.caption(images)] == texts


def test_unknown_and_damaged_presets(make_captioner, tmp_path):
    with pytest.raises(InputError, match="unknown preset 'flickr8k-loud'"):
        Captioner.from_preset("flickr8k-loud")
    with pytest.raises(InputError, match="not a preset's files"):
        Captioner.from_preset(tmp_path)
    make_captioner().save_to_preset(tmp_path / "mine", with_encoder=True)
    path = tmp_path / "mine" / "weights.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="mine: not a preset's files"):
        Captioner.from_preset(tmp_path / "mine")
    make_captioner(units=5).save_to_preset(tmp_path / "other", with_encoder=True)
    path.write_bytes((tmp_path / "other" / "weights.npz").read_bytes())
    with pytest.raises(InputError, match="its weights are of another captioner"):
        Captioner.from_preset(tmp_path / "mine")
