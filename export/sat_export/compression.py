"""Pruning and clustering: weights that are zero, or that share few distinct values.

The algorithms are TFMOT's, applied to the captioner's variables: its layer wrappers take Keras 2
only. Neither makes a file smaller by itself. The gain shows when the file is zipped, or on a
runtime that skips zeros.
"""

import io

import numpy as np

from sat_edge.errors import InputError, check_choice
from sat_export.distillation import count_steps, distil, fit

# Where zeros may be: anywhere in a kernel, or in two of each four weights in a row.
PATTERNS = ("any", "2:4")
_UPDATES = 50  # updates of the mask while the sparsity rises
_FINISHED = 0.7  # share of the steps after which the sparsity is constant


def compress(
    captioner,
    images,
    sparsity=0.0,
    pattern="any",
    clusters=0,
    loss="words",
    epochs=2,
    learning_rate=3e-4,
):
    """Prunes and clusters a copy of a captioner, which is trained with the captioner as teacher.

    Pruning comes first: the sparsity rises from zero along a cubic. Clustering follows and keeps
    zeros at zero. Each takes all epochs. Only kernels and the embedding are compressed: biases,
    batch normalisation and depthwise convolutions are small.

    Args:
        captioner, images, loss, epochs, learning_rate: see `distillation.distil`. Default to
            `"words"`, `2`, `3e-4`.
        sparsity: float. Share of weights that become zero. Defaults to `0.0`: nothing is pruned.
        pattern: str. Where zeros may be: `"any"`, or `"2:4"`, two of each four weights, for any
            `sparsity` above 0. Defaults to `"any"`.
        clusters: int. Distinct weights per kernel. Defaults to `0`: not clustered.
    Returns:
        `sat_keras.Captioner`.
    Raises:
        InputError: for a share or a number that cannot be.
    """
    check_choice("pattern", pattern, PATTERNS)
    if not 0 <= sparsity < 1:
        raise InputError(f"sparsity is {sparsity}: it is a share, 0 to below 1")
    if clusters and clusters < 3:
        raise InputError(f"clusters is {clusters}: name 3 or more")
    options = {"sparsity": sparsity, "pattern": pattern, "clusters": clusters}
    training = {"epochs": epochs, "learning_rate": learning_rate}
    result = distil(captioner, images, train, loss, **options, **training)
    student = type(captioner).from_config(captioner.get_config())
    with np.load(io.BytesIO(result)) as file:
        student.set_weights([file[name] for name in sorted(file)])
    return student


def train(captioner, images, sparsity, pattern, clusters, **options):
    """The part of `compress` that runs in the process with TFMOT."""
    captioner.trainable = False
    student = type(captioner).from_config(captioner.get_config())
    student.set_weights(captioner.get_weights())
    if sparsity:
        _prune(captioner, student, images, sparsity, pattern, options)
    if clusters:
        _cluster(captioner, student, images, clusters, options)
    file = io.BytesIO()
    np.savez(file, **{f"{i:04d}": each for i, each in enumerate(student.get_weights())})
    return file.getvalue()


def _kernels(student):
    """The variables that are compressed."""
    network = student.encoder.get_layer(student.encoder.backbone)
    variables = [*network.weights, *student.decoder.weights]
    return [
        each
        for each in variables
        if len(each.shape) > 1 and "depthwise" not in each.path and min(each.shape[-2:]) > 3
    ]


def _says(student):
    """The student as `fit` takes it."""

    def says(batch):
        annotations = student.encoder(batch, training=False)  # (B, L, D)
        return annotations, lambda *inputs: student.decoder(*inputs)[0]

    return says


def _prune(captioner, student, images, sparsity, pattern, options):
    import tensorflow as tf
    from tensorflow_model_optimization.python.core.sparsity.keras.pruning_impl import Pruning
    from tensorflow_model_optimization.sparsity.keras import PolynomialDecay

    steps = count_steps(images, options["epochs"])
    kernels = [each.value for each in _kernels(student)]
    masks = [tf.Variable(tf.ones_like(each)) for each in kernels]
    thresholds = [tf.Variable(0.0) for _ in kernels]
    now = tf.Variable(0, dtype=tf.int64)
    end = max(2, int(_FINISHED * steps))
    pruning = Pruning(
        lambda: now,
        list(zip(kernels, masks, thresholds, strict=True)),
        PolynomialDecay(0.0, sparsity, 1, end, frequency=max(1, end // _UPDATES)),
        block_size=(1, 1),
        block_pooling_type="AVG",
        sparsity_m_by_n=(2, 4) if pattern == "2:4" else None,
    )

    def after_step(count):
        now.assign(count)
        pruning.conditional_mask_update()
        pruning.weight_mask_op()

    variables = kernels + [each.value for each in _biases(student)]
    fit(captioner, images, _says(student), variables, after_step=after_step, **options)


def _biases(student):
    network = student.encoder.get_layer(student.encoder.backbone)
    small = [each for each in network.weights if "beta" in each.path]
    return small + [each for each in student.decoder.weights if len(each.shape) == 1]


def _cluster(captioner, student, images, clusters, options):
    import keras
    import tensorflow as tf
    from tensorflow_model_optimization.clustering.keras import CentroidInitialization
    from tensorflow_model_optimization.python.core.clustering.keras.clustering_algorithm import (
        ClusteringAlgorithm,
    )
    from tensorflow_model_optimization.python.core.clustering.keras.clustering_centroids import (
        CentroidsInitializerFactory,
    )

    kernels, begin = _kernels(student), CentroidsInitializerFactory.get_centroid_initializer
    begin = begin(CentroidInitialization.LINEAR)
    algorithms, places, kept = [], [], []
    for kernel in kernels:
        weights = kernel.value
        zeros = weights == 0  # where weights were pruned; they stay so
        has_zeros = bool(tf.reduce_any(zeros))
        centroids = begin(weights, clusters, preserve_sparsity=has_zeros).get_cluster_centroids()
        algorithms.append(ClusteringAlgorithm(tf.Variable(centroids)))
        places.append(tf.Variable(tf.zeros(weights.shape, tf.int32), trainable=False))
        kept.append(tf.Variable(tf.cast(~zeros, "float32"), trainable=False))

    def assign_places(_):
        """Assigns each weight to its nearest centroid; both are trained."""
        for algorithm, place, kernel in zip(algorithms, places, kernels, strict=True):
            order = tf.argsort(algorithm.cluster_centroids)
            centroids = tf.gather(algorithm.cluster_centroids, order)
            middles = (centroids[1:] + centroids[:-1]) / 2
            nearest = tf.searchsorted(middles, tf.reshape(kernel.value, [-1]))
            place.assign(tf.reshape(tf.gather(order, nearest), place.shape))

    assign_places(0)

    def clustered():
        return [
            algorithm.get_clustered_weight(place, kernel.value) * keep
            for algorithm, place, kernel, keep in zip(
                algorithms, places, kernels, kept, strict=True
            )
        ]

    def says(batch):
        mapping = list(zip(kernels, clustered(), strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            annotations = student.encoder(batch, training=False)  # (B, L, D)

        def decoder(*inputs):
            with keras.StatelessScope(state_mapping=mapping):
                return student.decoder(*inputs)[0]

        return annotations, decoder

    variables = [each.cluster_centroids for each in algorithms]
    variables += [each.value for each in (*kernels, *_biases(student))]
    fit(captioner, images, says, variables, after_step=assign_places, **options)
    for kernel, weights in zip(kernels, clustered(), strict=True):
        kernel.assign(weights)
