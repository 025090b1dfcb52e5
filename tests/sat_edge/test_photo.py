"""Every kind of photo that people hand in, made here by Pillow."""

import io

import numpy as np
import pytest
from PIL import Image

from sat_edge import InputError, open_photo, to_pixels


@pytest.fixture(scope="module")
def gradient():
    """A 40 x 30 photo: red grows to the right, green downwards."""
    x, y = np.meshgrid(np.linspace(0, 255, 40), np.linspace(0, 255, 30))
    return np.stack([x, y, np.full_like(x, 90)], -1).astype("uint8")


def saved(image, file_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    buffer.seek(0)
    return buffer


def pixels(source):
    return np.asarray(open_photo(source)).astype(int)


def test_rgb_as_it_is(gradient):
    found = open_photo(saved(Image.fromarray(gradient), "PNG"))
    assert found.mode == "RGB"
    np.testing.assert_array_equal(found, gradient)


def test_exif_orientation_is_applied(gradient):
    image = Image.fromarray(gradient)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: to be shown turned clockwise
    turned = image.transpose(Image.Transpose.ROTATE_90)
    found = pixels(saved(turned, "JPEG", exif=exif, quality=100, subsampling=0))
    assert found.shape == gradient.shape
    assert np.abs(found - gradient).max() < 12


def test_greyscale():
    found = pixels(saved(Image.new("L", (9, 7), 77), "PNG"))
    assert found.shape == (7, 9, 3)
    assert (found == 77).all()


def test_cmyk_jpeg(gradient):
    found = pixels(saved(Image.fromarray(gradient).convert("CMYK"), "JPEG", quality=100))
    assert np.abs(found - gradient).mean() < 6


def test_palette_with_transparency_is_laid_on_white():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 1), 1)
    found = pixels(saved(image, "PNG", transparency=0))
    np.testing.assert_array_equal(found[0, 0], [255, 255, 255])
    np.testing.assert_array_equal(found[1, 1], [200, 100, 50])


def test_half_transparent():
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    assert abs(pixels(saved(image, "PNG")) - 127).max() <= 1


def test_sixteen_bit_grey_is_scaled_not_clipped():
    ramp = np.linspace(0, 65535, 64).astype("uint16").reshape(8, 8)
    found = pixels(saved(Image.fromarray(ramp), "PNG"))
    np.testing.assert_array_equal(found[..., 0], ramp // 256)


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    gif = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(pixels(gif)[0, 0], [255, 0, 0])


@pytest.mark.parametrize("size", [(1, 1), (12000, 9000)])
def test_extreme_sizes(tmp_path, size):
    path = tmp_path / "photo.jpg"
    Image.new("RGB", size, (10, 200, 30)).save(path)
    found = to_pixels(open_photo(path), (32, 48))
    assert found.shape == (32, 48, 3)
    assert np.abs(found.astype(int) - [10, 200, 30]).max() <= 3


def test_resize_stretches_with_antialiasing(gradient):
    found = to_pixels(Image.fromarray(gradient), (6, 8))
    np.testing.assert_allclose(found.mean((0, 1)), gradient.mean((0, 1)), atol=1)
    # Antialiasing: fine stripes become an even grey, they do not alias.
    stripes = np.zeros((64, 64, 3), "uint8")
    stripes[:, ::2] = 254
    inner = to_pixels(Image.fromarray(stripes), (8, 8))[:, 1:-1].astype(int)
    assert np.abs(inner - 127).max() <= 4


def truncated(tmp_path):
    path = tmp_path / "cut.jpg"
    Image.effect_noise((64, 64), 50).convert("RGB").save(path)
    path.write_bytes(path.read_bytes()[:900])
    return path


def text_named_jpg(tmp_path):
    path = tmp_path / "text.jpg"
    path.write_text("this is no photo")
    return path


def zero_bytes(tmp_path):
    path = tmp_path / "zero.jpg"
    path.touch()
    return path


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda folder: folder / "missing.jpg", "missing.jpg: no such file"),
        (truncated, "cut.jpg: damaged picture"),
        (text_named_jpg, "text.jpg: not a picture"),
        (zero_bytes, "zero.jpg: the file is empty"),
        (lambda folder: folder, ": a folder, not a photo"),
    ],
)
def test_bad_files_are_named_in_one_line(tmp_path, make, says):
    path = make(tmp_path)
    with pytest.raises(InputError, match=says) as error:
        open_photo(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
