import dataclasses
import json
from pathlib import Path

from sat_edge.errors import InputError, check_choice
from sat_keras.files import atomic_output

CONFIG = "config.json"
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """All that decides a run's result. See `Encoder`, `Captioner` and `batches` for each.

    With `warm_start`, the vocabulary and the encoder's weights are those of that run or preset:
    `min_count` does nothing, nor does `encoder_weights`, but for a preset of a decoder alone.
    """

    dataset: str
    # encoder
    encoder: str = "mobilenet_v2"
    encoder_weights: str | None = None
    alpha: float = 1.0
    layer: str | None = None
    image_size: int = 224
    patches: int = 0
    train_encoder: bool = False
    train_from: str | None = None  # a layer: it and those behind it are fine-tuned
    # decoder
    attention: str = "soft"
    scorer: str = "additive"
    inject: str = "every"
    units: int = 512
    embedding_size: int = 512
    attention_size: int = 512
    dropout: float = 0.5
    # training
    epochs: int = 5
    patience: int = 0  # epochs without a better validation CIDEr before training stops; 0: never
    batch_size: int = 64
    captions_per_photo: int = 1
    learning_rate: float = 4e-4  # Adam's, at first; falls to zero along a cosine
    warmup: int = 0  # steps before that, in which it rises from zero
    clip_norm: float = 5.0
    augment: bool = False
    label_smoothing: float = 0.0
    doubly_stochastic: float = 1.0
    entropy: float = 0.0
    expectation: float = 0.5
    samples: int = 1
    scheduled_sampling: float = 0.0
    self_critical: bool = False
    temperature: float = 0.4  # of self-critical training
    reward_meteor: float = 0.0  # what METEOR adds to it, see `CaptionReward`
    warm_start: str | None = None  # a run or a preset: its vocabulary and weights are the start
    min_count: int = 4
    max_length: int = 20
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self):
        if self.epochs < 1:
            raise InputError(f"epochs is {self.epochs}: name 1 or more")
        if self.warmup < 0:
            raise InputError(f"warmup is {self.warmup}: name 0 steps or more")
        if self.captions_per_photo < 1 or self.batch_size % self.captions_per_photo:
            raise InputError(
                f"batch_size {self.batch_size} is no multiple of captions_per_photo "
                f"{self.captions_per_photo}: a batch holds whole photos"
            )
        check_choice("precision", self.precision, PRECISIONS)
        if self.train_from and not self.train_encoder:
            raise InputError(
                f"train_from {self.train_from} is of an encoder that learns: say train_encoder too"
            )
        if self.self_critical and (self.captions_per_photo == 1 or self.warm_start is None):
            raise InputError(
                "self_critical goes on from a run that can caption, with all references of a "
                "photo: name warm_start, captions_per_photo, for example 5, and a batch_size, 60"
            )

    @property
    def reads_photos(self):
        """Whether training goes through the encoder each time, not from its annotations."""
        return self.train_encoder or self.augment

    @classmethod
    def load(cls, run):
        path = Path(run) / CONFIG
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError as error:
            raise InputError(f"{run}: not a run folder (no {CONFIG} in it)") from error
        except InputError:
            raise
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}: not the settings of a run ({error})") from error

    def save(self, run):
        with atomic_output(Path(run) / CONFIG) as temporary:
            temporary.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n")
