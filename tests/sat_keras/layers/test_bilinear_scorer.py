import numpy as np

from sat_keras.layers import BilinearScorer

B, L, D, H = 2, 4, 3, 5


def test_equals_the_bilinear_form():
    rng = np.random.default_rng(0)
    annotations, h = (rng.normal(size=s).astype("float32") for s in ((B, L, D), (B, H)))
    scorer = BilinearScorer()
    scorer.build((None, L, D), H)
    (weight,) = scorer.get_weights()  # (D, H): the transpose of W
    wanted = [[h[n] @ weight.T @ annotations[n, i] / D**0.5 for i in range(L)] for n in range(B)]
    np.testing.assert_allclose(scorer(scorer.project(annotations), h), wanted, rtol=1e-5)
