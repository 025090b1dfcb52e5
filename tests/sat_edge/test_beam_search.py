"""The host's beam search against the graph's."""

import numpy as np
import pytest

from sat_edge import Captioner, Search
from sat_edge.beam_search import beam_search
from sat_export import export_tflite

V, T = 7, 4
WORDS = (4, 5, 6)


@pytest.fixture(scope="module")
def hesitant(make_captioner, tmp_path_factory):
    """A captioner whose words are of like probability, so that beams matter, and its file."""
    captioner = make_captioner()
    kernel = captioner.decoder.deep_output.project_word.kernel
    kernel.assign(kernel * 0.3)
    path = tmp_path_factory.mktemp("hesitant") / "captioner.tflite"
    export_tflite(captioner, path)
    return captioner, Captioner(path)


@pytest.mark.parametrize(
    "options",
    [
        {"beam_width": 2},
        {"beam_width": 4, "n_best": 3},
        {"beam_width": 3, "length_penalty": 1.0},
        {"beam_width": 3, "no_repeat_ngram": 2},
    ],
)
def test_equals_the_graph_s(hesitant, photos, options):
    captioner, edge = hesitant
    for photo, wanted in zip(photos, captioner.beam_search(photos, **options), strict=True):
        found = edge.beam_search(photo, **options)
        assert len(found) == len(wanted) == options.get("n_best", 1)
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one.tokens, other.tokens)
            assert one.log_prob == pytest.approx(other.log_prob, abs=1e-3)
            assert one.score == pytest.approx(other.score, abs=1e-3)
            np.testing.assert_allclose(one.attention, other.attention, atol=1e-4)


def test_width_one_is_the_caption_signature(hesitant, photos):
    _, edge = hesitant
    for photo in photos:
        one, other = edge.beam_search(photo, beam_width=1)[0], edge.caption(photo)
        np.testing.assert_array_equal(one.tokens, other.tokens)
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)


def test_caption_takes_the_best_beam(hesitant, photos):
    _, edge = hesitant
    found = [edge.caption(photo, beam_width=4).log_prob for photo in photos]
    greedy = [edge.caption(photo).log_prob for photo in photos]
    assert found == [edge.beam_search(photo, beam_width=4)[0].log_prob for photo in photos]
    assert sum(found) > sum(greedy) + 0.1


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_a_width_that_covers_everything_is_brute_force(every_caption, length_penalty):
    table = np.random.default_rng(0).normal(0, 1.5, (T, V, V))
    captions = every_caption(table, WORDS, length_penalty)
    search = Search(beam_width=125, length_penalty=length_penalty, n_best=5)
    found = beam_search(lambda token, t: (table[t, token], t + 1, np.ones(1)), 0, T, search)
    assert len(found) == 5
    for beam, (score, log_prob, words) in zip(found, captions, strict=False):
        assert beam.tokens == words
        assert beam.score(length_penalty) == pytest.approx(score)
        assert beam.log_prob == pytest.approx(log_prob)
