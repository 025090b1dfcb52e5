"""Captions photos on a device with one `.tflite` file: NumPy, Pillow and ai-edge-litert only.

from sat_edge import Captioner
print(Captioner("captioner.tflite").caption("photo.jpg").text)
"""

from sat_edge.caption import Caption
from sat_edge.captioner import Captioner
from sat_edge.errors import InputError
from sat_edge.photo import open_photo, to_pixels
from sat_edge.search import Search

__all__ = ["Caption", "Captioner", "InputError", "Search", "open_photo", "to_pixels"]
