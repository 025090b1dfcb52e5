"""Every system leaves the training world by the same file, and says there what it said in Keras."""

import numpy as np
import pytest

from sat_edge import Captioner, Search
from sat_edge.settings import State
from sat_export import export_tflite

ATTENDS = State(("h", "c"), ("annotations", "projected"))
# name: (the captioner's options, the state that its file names)
SYSTEMS = {
    "inject first": ({"attention": "none", "inject": "first"}, State(("h", "c"), ())),
    "inject every": ({"attention": "none", "inject": "every"}, State(("h", "c"), ("image",))),
    "inject only": ({"attention": "none", "inject": "only"}, State(("h", "c"), ("image",))),
    "soft additive": ({}, ATTENDS),
    "soft bilinear": ({"scorer": "bilinear"}, ATTENDS),
    "hard additive": ({"attention": "hard"}, ATTENDS),
    "hard bilinear": ({"attention": "hard", "scorer": "bilinear"}, ATTENDS),
    "patches": ({"patches": 3}, ATTENDS),
}
QUICK = ("inject first", "inject every", "inject only", "soft additive")


@pytest.mark.parametrize(
    "system",
    [pytest.param(each, marks=[pytest.mark.slow] * (each not in QUICK)) for each in SYSTEMS],
)
def test_same_captions_as_keras(make_captioner, photos, tmp_path, system):
    """By the file's own search, by a greedy one in its graph, and by a greedy one on the host."""
    options, state = SYSTEMS[system]
    search = Search(beam_width=3, length_penalty=0.5)
    captioner = make_captioner(**options, search=search)
    path = tmp_path / "captioner.tflite"
    export_tflite(captioner, path)
    edge = Captioner(path)
    assert (edge.settings.state, edge.search) == (state, search)
    assert edge.settings.captioner["attention"] == captioner.attention
    by_beam = captioner.beam_search(photos, beam_width=3, length_penalty=0.5)
    greedy = captioner.beam_search(photos, beam_width=1)
    for photo, (beam,), (one,) in zip(photos, by_beam, greedy, strict=True):
        same(edge.caption(photo), beam)
        same(edge.caption(photo, beam_width=1), one)
        same(edge.beam_search(photo, beam_width=1)[0], one)
    assert len({beam.text for (beam,) in by_beam}) > 1


def same(found, wanted):
    np.testing.assert_array_equal(found.tokens, wanted.tokens)
    assert found.log_prob == pytest.approx(wanted.log_prob, abs=1e-3)
    np.testing.assert_allclose(found.attention, wanted.attention, atol=1e-3)
    np.testing.assert_allclose(found.regions, wanted.regions, atol=1e-6)
