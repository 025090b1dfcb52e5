"""Photos in: whatever Pillow opens, upright, as RGB, stretched to the encoder's input."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from sat_edge.errors import InputError


def open_photo(source, name=None):
    """Opens a photo upright and as RGB.

    EXIF orientation is applied, of an animation the first frame is taken, transparent pixels
    become white, 16-bit grey is scaled to 8 bits.

    Args:
        source: path, open binary file, `PIL.Image.Image`, or uint8 array `(height, width, 3)`.
        name: str. What an error calls a photo that has no path. Defaults to `"photo"`.
    Returns:
        `PIL.Image.Image` of mode RGB, in the photo's own size.
    Raises:
        InputError: where it is missing, empty, truncated, too large, or no picture at all.
    """
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3:
            raise InputError(
                f"an array of {source.dtype} {source.shape} is no photo: uint8 (height, width, 3)"
            )
        return Image.fromarray(source)
    if isinstance(source, str | Path):
        name = str(source)
        if not Path(source).exists():
            raise InputError(f"{name}: no such file")
        if Path(source).is_dir():
            raise InputError(f"{name}: a folder, not a photo")
        if Path(source).stat().st_size == 0:
            raise InputError(f"{name}: the file is empty")
    name = name or "photo"
    try:
        with warnings.catch_warnings():
            # Pillow warns of photos of over 89 megapixels; at twice that it refuses.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = source if isinstance(source, Image.Image) else Image.open(source)
            image.load()
        return _to_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise InputError(f"{name}: not a picture that Pillow can read") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: too many pixels; make it smaller") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{name}: damaged picture ({error})") from error


def _to_rgb(image):
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip instead of scale
        return Image.fromarray((np.asarray(image) // 256).clip(0, 255).astype("uint8")).convert(
            "RGB"
        )
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def to_pixels(image, size):
    """The one resize rule: the whole photo stretched, bilinear with antialiasing.

    Args:
        image: `PIL.Image.Image` of mode RGB.
        size: pair of ints (height, width).
    Returns:
        uint8 array `(height, width, 3)`, RGB 0..255.
    """
    height, width = size
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
