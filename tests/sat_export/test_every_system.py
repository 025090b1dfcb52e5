"""Every system leaves the training world by the same file, and says there what it said in Keras."""

import numpy as np
import pytest

from sat_edge import Captioner
from sat_export import export_tflite

SYSTEMS = {
    "inject first": {"attention": "none", "inject": "first"},
    "inject every": {"attention": "none", "inject": "every"},
    "inject only": {"attention": "none", "inject": "only"},
    "soft bilinear": {"scorer": "bilinear"},
    "hard additive": {"attention": "hard"},
    "hard bilinear": {"attention": "hard", "scorer": "bilinear"},
    "patches": {"patches": 3},
}


@pytest.mark.parametrize(
    "system",
    [pytest.param(each, marks=[pytest.mark.slow] * (each != "hard bilinear")) for each in SYSTEMS],
)
def test_same_captions_as_keras(make_captioner, photos, tmp_path, system):
    captioner = make_captioner(**SYSTEMS[system])
    path = tmp_path / "captioner.tflite"
    export_tflite(captioner, path)
    edge = Captioner(path)
    for photo, wanted in zip(photos, captioner.caption(photos), strict=True):
        for found in (edge.caption(photo), edge.beam_search(photo, 1)[0]):
            np.testing.assert_array_equal(found.tokens, wanted.tokens)
            assert found.log_prob == pytest.approx(wanted.log_prob, abs=1e-3)
            np.testing.assert_allclose(found.attention, wanted.attention, atol=1e-3)
            np.testing.assert_allclose(found.regions, wanted.regions, atol=1e-6)
