"""The quantisation schemes: one table, which everything else follows. No TensorFlow here.

    scheme     weights                        between layers
    none       float32                        float32
    float16    float16                        float32
    dynamic    int8, one scale per row        float32; int8 inside a product, ranges at run time
    int8       int8, one scale per channel    int8, ranges observed on photos
    qat        as int8, and the encoder is    int8, ranges learnt in training
               trained with them rounded
    int4       decoder: int4, one scale per   float32; int8 inside a product, ranges at run time
               64 weights (per row where a
               row is no multiple of 64)
               encoder: int4 of least square  int8, ranges observed on photos
               error for its largest
               kernels, int8 for the others

The decoder takes all but `int8` and `qat`: activation ranges cannot be observed inside its loop.
"""

from dataclasses import dataclass

from sat_edge.errors import InputError, check_choice


@dataclass(frozen=True)
class Scheme:
    """What one name stands for.

    Attributes:
        encoder, decoder: str, the scheme of each part.
        observes: bool. Whether activation ranges are observed on photos.
        learns: bool. Whether the encoder is trained, on photos.
        runs_on_gpu: bool. Whether LiteRT's GPU runtimes take such weights.
        least_litert: str, the oldest LiteRT that runs the file correctly. Older ones run int4
            weights with wrong results, without an error.
    """

    encoder: str
    decoder: str
    observes: bool = False
    learns: bool = False
    runs_on_gpu: bool = True
    least_litert: str = "1.4"

    @property
    def needs_photos(self):
        """Whether it cannot be had without photos."""
        return self.observes or self.learns


SCHEMES = {
    "none": Scheme("none", "none"),
    "float16": Scheme("float16", "float16", runs_on_gpu=False),
    "dynamic": Scheme("dynamic", "dynamic"),
    "int8": Scheme("int8", "dynamic", observes=True),
    "qat": Scheme("qat", "dynamic", learns=True),
    "int4": Scheme("int4", "int4", observes=True, runs_on_gpu=False, least_litert="2.1"),
}
# What the decoder can be quantised by on its own.
DECODER_SCHEMES = tuple(name for name, scheme in SCHEMES.items() if name == scheme.decoder)
FEWEST_PHOTOS = 16  # that ranges are observed on


def choose(encoder, decoder=None):
    """The scheme of a file whose parts may have different ones.

    Args:
        encoder: str, a name of `SCHEMES`.
        decoder: str, a name of `DECODER_SCHEMES`. Defaults to `None`: as `encoder` has it.
    Returns:
        `Scheme`.
    Raises:
        InputError: for an unknown name.
    """
    check_choice("quantisation", encoder, SCHEMES)
    of_encoder = SCHEMES[encoder]
    if decoder is None:
        return of_encoder
    check_choice("quantisation", decoder, DECODER_SCHEMES)
    of_decoder = SCHEMES[decoder]
    numbers = {each: _numbers(each.least_litert) for each in (of_encoder, of_decoder)}
    return Scheme(
        of_encoder.encoder,
        of_decoder.decoder,
        observes=of_encoder.observes,
        learns=of_encoder.learns,
        runs_on_gpu=of_encoder.runs_on_gpu and of_decoder.runs_on_gpu,
        least_litert=max(numbers, key=numbers.get).least_litert,
    )


def check_target(scheme, target):
    """Raises `InputError` where a target cannot run a scheme."""
    if target == "gpu" and not scheme.runs_on_gpu:
        names = ", ".join(name for name, each in SCHEMES.items() if each.runs_on_gpu)
        raise InputError(
            f"target gpu: encoder {scheme.encoder}, decoder {scheme.decoder}: GPUs take {names}; "
            "quantise by one of them"
        )


def _numbers(version):
    return tuple(map(int, version.split(".")))
