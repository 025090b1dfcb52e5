import hashlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sat_edge import InputError
from sat_keras import encoders

APPLICATIONS = keras.applications
CASES = {
    "mobilenet": (APPLICATIONS.MobileNet, APPLICATIONS.mobilenet, (2, 3), 256),
    "mobilenet_v2": (APPLICATIONS.MobileNetV2, APPLICATIONS.mobilenet_v2, (2, 3), 1280),
    "mobilenet_v3_small": (APPLICATIONS.MobileNetV3Small, APPLICATIONS.mobilenet_v3, (2, 3), 576),
    "mobilenet_v3_large": (APPLICATIONS.MobileNetV3Large, APPLICATIONS.mobilenet_v3, (2, 3), 960),
    "resnet50": (APPLICATIONS.ResNet50, APPLICATIONS.resnet50, (2, 3), 2048),
    "vgg16": (APPLICATIONS.VGG16, APPLICATIONS.vgg16, (4, 6), 512),
    "vgg19": (APPLICATIONS.VGG19, APPLICATIONS.vgg19, (4, 6), 512),
}


@pytest.mark.parametrize("name", CASES)
def test_annotations_are_the_network_s_grid_row_by_row(name):
    build, module, grid, size = CASES[name]
    options = {"alpha": 0.25} if name == "mobilenet" else {}
    encoder = getattr(encoders, name)(image_size=(64, 96), **options)
    assert encoder.grid == grid
    assert encoder.output_shape == (None, grid[0] * grid[1], size)

    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 96, 3)).astype("float32")
    model = build(include_top=False, weights=None, input_shape=(64, 96, 3), **options)
    last = {"vgg16": "block5_conv3", "vgg19": "block5_conv4"}.get(name, model.layers[-1].name)
    model = keras.Model(model.input, model.get_layer(last).output)
    model.set_weights(encoder.get_weights())
    wanted = model(module.preprocess_input(images.copy()))  # Keras's own normalisation
    scale = float(np.abs(wanted).max())
    got = np.asarray(encoder(images))
    np.testing.assert_allclose(got.reshape(wanted.shape), wanted, atol=1e-4 * scale)


def test_any_layer_and_alpha():
    encoder = encoders.mobilenet_v2(layer="block_6_expand_relu", alpha=0.35, image_size=(96, 96))
    assert encoder.grid == (12, 12)


def test_save_and_load(tmp_path):
    encoder = encoders.mobilenet_v2(alpha=0.35, image_size=(64, 64))
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.saving.load_model(tmp_path / "encoder.keras")
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    np.testing.assert_allclose(loaded(images), encoder(images), atol=1e-5)
    assert loaded.digest() == encoder.digest()
    assert loaded.grid == (2, 2)


def test_a_fine_layer_stands_beside_the_enlarged_one(tmp_path):
    options = {"alpha": 0.35, "image_size": (64, 96), "layer": "block_16_project_BN"}
    both = encoders.mobilenet_v2(fine_layer="block_12_add", **options)
    coarse = encoders.mobilenet_v2(**options)
    fine = encoders.mobilenet_v2(**{**options, "layer": "block_12_add"})
    assert coarse.grid == (2, 3) and both.grid == fine.grid == (4, 6)
    np.testing.assert_array_equal(both.regions, fine.regions)
    coarse.set_weights(both.get_weights())
    for layer in filter(lambda each: each.weights, fine.get_layer("mobilenet_v2").layers):
        layer.set_weights(both.get_layer("mobilenet_v2").get_layer(layer.name).get_weights())

    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 96, 3)).astype("float32")
    found = np.asarray(both(images)).reshape(2, 4, 6, -1)
    of_fine = np.asarray(fine(images)).reshape(2, 4, 6, -1)
    np.testing.assert_allclose(found[..., : of_fine.shape[-1]], of_fine, atol=1e-5)
    # Twice as large: a cell's middle lies a quarter of a large cell from its own middle.
    of_coarse = np.asarray(coarse(images)).reshape(2, 2, 3, -1)
    y, x = (np.clip((np.arange(n) + 0.5) / 2 - 0.5, 0, n // 2 - 1) for n in (4, 6))
    for i, j in ((0, 0), (1, 2), (3, 5), (2, 1)):
        low = int(y[i]), int(x[j])
        high = min(low[0] + 1, 1), min(low[1] + 1, 2)
        v, u = y[i] - low[0], x[j] - low[1]
        wanted = (
            (1 - v) * (1 - u) * of_coarse[:, low[0], low[1]]
            + (1 - v) * u * of_coarse[:, low[0], high[1]]
            + v * (1 - u) * of_coarse[:, high[0], low[1]]
            + v * u * of_coarse[:, high[0], high[1]]
        )
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(
            found[:, i, j, of_fine.shape[-1] :], wanted, atol=1e-4 * scale, err_msg=f"{i, j}"
        )
    both.save(tmp_path / "encoder.keras")
    loaded = keras.saving.load_model(tmp_path / "encoder.keras")
    np.testing.assert_allclose(loaded(images), both(images), atol=1e-4)


def test_patches_are_crops_through_the_whole_network():
    encoder = encoders.mobilenet_v2(alpha=0.35, image_size=(64, 96), patches=3)
    assert encoder.grid == (3, 3)
    assert encoder.output_shape == (None, 9, 1284)
    alone = encoders.mobilenet_v2(alpha=0.35, image_size=(32, 48))
    alone.set_weights(encoder.get_weights())
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 96, 3)).astype("float32")
    found = np.asarray(encoder(images))
    for i, region in enumerate(encoder.regions):
        ymin, xmin, ymax, xmax = (region * (64, 96, 64, 96)).astype(int)
        crop = images[:, ymin:ymax, xmin:xmax]
        assert crop.shape == (2, 32, 48, 3)
        np.testing.assert_allclose(found[:, i, :-4], np.asarray(alone(crop)).mean(1), atol=1e-4)
        np.testing.assert_allclose(found[:, i, -4:], np.stack([region] * 2), rtol=1e-6)
    np.testing.assert_allclose(encoder.regions[4], [0.25, 0.25, 0.75, 0.75])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mobilenet", {"layer": "conv_pw_5_relu", "image_size": (64, 96)}),
        ("mobilenet", {"layer": "conv_pw_5_relu", "image_size": (65, 99)}),
        ("mobilenet_v2", {"layer": "block_6_expand_relu", "image_size": (192, 160)}),
        pytest.param(
            "resnet50", {"layer": "conv1_relu", "image_size": (64, 96)}, marks=pytest.mark.slow
        ),
    ],
)
def test_regions_lie_around_what_cells_see(name, options):
    """Of a network whose kernels are all ones, a cell's gradient is symmetric about its middle."""
    encoder = encoders.Encoder(name, **options)
    for weight in encoder.weights:
        if weight.name == "kernel":
            weight.assign(np.ones(weight.shape) / np.prod(weight.shape[:3]))
    rows, columns = encoder.grid
    height, width = options["image_size"]
    for row, column in [(rows // 2, columns // 2), (rows // 2, columns // 2 - 1)]:
        images = tf.fill((1, height, width, 3), 140.0)  # above all normalisations' zero
        with tf.GradientTape() as tape:
            tape.watch(images)
            cell = tf.reduce_sum(encoder(images)[0, row * columns + column])
        seen = tape.gradient(cell, images)[0].numpy().sum(-1)  # (H, W)
        seen /= seen.sum()
        ymin, xmin, ymax, xmax = encoder.regions[row * columns + column]
        assert seen.sum(1) @ (np.arange(height) + 0.5) == pytest.approx(height * (ymin + ymax) / 2)
        assert seen.sum(0) @ (np.arange(width) + 0.5) == pytest.approx(width * (xmin + xmax) / 2)


@pytest.mark.slow
def test_even_padding_leaves_the_grid_where_it_is():
    regions = encoders.vgg16(image_size=(32, 64)).regions
    np.testing.assert_allclose(regions[0], [0, 0, 1 / 2, 1 / 4])
    np.testing.assert_allclose(regions[-1], [1 / 2, 3 / 4, 1, 1])


def test_regions_of_a_grid_are_a_cell_apart():
    regions = encoders.mobilenet(alpha=0.25, image_size=(64, 96)).regions
    assert regions.shape == (6, 4)
    np.testing.assert_allclose(regions[:, 2:] - regions[:, :2], [[1 / 2, 1 / 3]] * 6)
    np.testing.assert_allclose(regions[5] - regions[0], [1 / 2, 2 / 3] * 2)


@pytest.mark.slow
def test_a_fully_connected_layer_is_one_location():
    encoder = encoders.vgg16(layer="fc2", image_size=(32, 32))
    assert encoder.grid == (1, 1)
    assert encoder.output_shape == (None, 1, 4096)
    np.testing.assert_array_equal(encoder.regions, [[0, 0, 1, 1]])


def test_fine_tuning_leaves_earlier_layers_and_statistics():
    keras.utils.set_random_seed(0)
    encoder = encoders.mobilenet(alpha=0.25, layer="conv_pw_3_relu", image_size=(32, 32))
    encoder.fine_tune("conv_pw_2")
    assert [each.path.split("/")[0] for each in encoder.trainable_weights] == [
        "conv_pw_2",
        "conv_dw_3",
        "conv_pw_3",
    ]
    before = encoder.get_weights()
    encoder.compile("sgd", "mse")
    images = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype("float32")
    encoder.fit(images, np.ones((4, *encoder.output_shape[1:])), verbose=0)
    moved = {
        weight.path.split("/")[0]
        for weight, old in zip(encoder.weights, before, strict=True)
        if (weight.numpy() != old).any()
    }
    assert moved == {"conv_pw_2", "conv_dw_3", "conv_pw_3"}
    with pytest.raises(InputError, match="unknown layer 'conv_pw_99': choose one of conv_pw_"):
        encoder.fine_tune("conv_pw_99")


def test_fine_tuning_all_of_it_moves_statistics_too():
    encoder = encoders.mobilenet(alpha=0.25, layer="conv_pw_1_relu", image_size=(32, 32))
    encoder.fine_tune("conv_pw_1")
    encoder.fine_tune()
    before = encoder.get_weights()
    encoder.compile("sgd", "mse")
    images = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype("float32")
    encoder.fit(images, np.ones((4, *encoder.output_shape[1:])), verbose=0)
    assert all((w != b).any() for w, b in zip(encoder.get_weights(), before, strict=True))


@pytest.mark.parametrize("layer", ["conv_pw_2", None])
def test_which_layers_learn_can_be_written_down_and_set(layer):
    encoder, other = (
        encoders.mobilenet(alpha=0.25, layer="conv_pw_3_relu", image_size=(32, 32))
        for _ in range(2)
    )
    encoder.fine_tune(layer)
    encoders.set_trainable_layers(other, encoders.trainable_layers(encoder))
    assert other.trainable
    wanted = [each.path for each in encoder.trainable_weights]
    assert [each.path for each in other.trainable_weights] == wanted
    encoder.trainable = False
    assert encoders.trainable_layers(encoder) == []
    encoders.set_trainable_layers(other, [])
    assert not other.trainable and not other.trainable_weights


def test_digest_tells_encoders_apart():
    build = encoders.mobilenet
    one = build(alpha=0.25, image_size=(32, 32))
    assert one.digest() != build(alpha=0.25, image_size=(32, 32)).digest()  # other weights
    two = build(alpha=0.25, image_size=(32, 32), layer="conv_pw_13_relu")
    two.set_weights(one.get_weights())
    assert one.digest() != two.digest()
    fine = build(alpha=0.25, image_size=(32, 32), fine_layer="conv_pw_3_relu")
    assert one.digest() != fine.digest()


def test_digest_of_an_encoder_without_a_fine_layer_is_as_presets_stored_it():
    """Before encoders had one, it was not among the settings."""
    encoder = encoders.mobilenet(alpha=0.25, image_size=(32, 32), name="one")
    settings = [
        ("alpha", 0.25),
        ("backbone", "mobilenet"),
        ("image_size", (32, 32)),
        ("layer", None),
        ("name", "one"),
        ("patches", 0),
    ]
    wanted = hashlib.sha256(repr(settings).encode())
    for weight in encoder.get_weights():
        wanted.update(weight.tobytes())
    assert encoder.digest() == wanted.hexdigest()


@pytest.mark.parametrize(
    "build, options, says",
    [
        (encoders.vgg16, {"alpha": 0.5}, "no width multiplier"),
        (encoders.mobilenet, {"layer": "conv_pw_99"}, "unknown layer 'conv_pw_99': .*conv_pw_9"),
        (encoders.mobilenet, {"weights": "none.h5"}, "none.h5: no such weights file"),
        (encoders.mobilenet, {"image_size": (31, 64)}, "pictures of 31 x 64 are too small: 32"),
        (
            encoders.mobilenet_v2,
            {"layer": "block_12_add", "fine_layer": "block_16_add"},
            "unknown fine_layer",
        ),
        (
            encoders.mobilenet_v2,
            {"image_size": (96, 96), "fine_layer": "global"},
            "unknown fine_layer",
        ),
        (
            encoders.mobilenet_v2,
            {"image_size": (80, 80), "fine_layer": "block_12_add"},
            "no multiple of",
        ),
        (encoders.mobilenet_v2, {"patches": 2, "fine_layer": "block_12_add"}, "patches have no"),
        (encoders.mobilenet, {"image_size": (64, 64), "patches": 5}, "crops of 21 x 21 are too"),
    ],
)
def test_wrong_settings(build, options, says):
    with pytest.raises(InputError, match=says):
        build(**{"image_size": (64, 64), **options})


def test_unknown_encoder():
    with pytest.raises(InputError, match="unknown encoder 'mobilenetv2': .*mobilenet_v2"):
        encoders.Encoder("mobilenetv2")


def test_weights_file_that_is_none(tmp_path):
    (tmp_path / "weights.h5").write_text("not really")
    with pytest.raises(InputError, match="weights.h5: not a Keras weights file"):
        encoders.mobilenet(weights=tmp_path / "weights.h5")


@pytest.mark.slow
@pytest.mark.parametrize(
    "key, build, options, file",
    [
        ("mobilenet_v1_075", encoders.mobilenet, {"alpha": 0.75}, "mobilenet_7_5_224_tf_no_top.h5"),
        (
            "mobilenet_v2_100",
            encoders.mobilenet_v2,
            {},
            "mobilenet_v2_1.0_224_no_top_reconstructed.h5",
        ),
        (
            "mobilenet_v2_035",
            encoders.mobilenet_v2,
            {"alpha": 0.35},
            "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5",
        ),
    ],
)
def test_golden_features_of_real_photos(shared, key, build, options, file):
    golden = np.load(shared / "weights" / "golden_features.npz")
    folder = shared / "data" / "flickr8k" / "Flicker8k_Dataset"
    images = np.stack([np.asarray(Image.open(folder / name)) for name in golden["files"]])
    layers = {name.split("/")[1] for name in golden if name.startswith(f"{key}/")}
    assert len(layers) == 2
    for layer in layers:
        encoder = build(layer=layer, weights=shared / "weights" / file, **options)
        assert encoder.grid == tuple(golden[f"{key}/{layer}/grid"][:2])
        mean = np.asarray(encoder(images.astype("float32"))).mean(axis=1)
        np.testing.assert_allclose(mean, golden[f"{key}/{layer}/mean"], atol=5e-5)


@pytest.mark.slow
def test_weights_of_a_network_cut_short(shared):
    path = shared / "weights" / "mobilenet_1_0_224_tf_upto_conv_pw_11_relu.h5"
    assert encoders.mobilenet(layer="conv_pw_11_relu", weights=path).grid == (14, 14)
    with pytest.raises(InputError, match="weights of conv_dw_12 are missing"):
        encoders.mobilenet(weights=path)
    with pytest.raises(InputError, match="another size"):
        encoders.mobilenet(alpha=0.5, layer="conv_pw_11_relu", weights=path)
