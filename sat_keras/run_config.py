import dataclasses
import json
from pathlib import Path

from sat_edge.errors import InputError
from sat_keras.files import atomic_output

CONFIG = "config.json"


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """All that decides a run's result. See `Encoder`, `Captioner` and `batches` for each."""

    dataset: str
    # encoder
    encoder: str = "mobilenet_v2"
    encoder_weights: str | None = None
    alpha: float = 1.0
    layer: str | None = None
    image_size: int = 224
    patches: int = 0
    train_encoder: bool = False
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
    batch_size: int = 64
    captions_per_photo: int = 1
    learning_rate: float = 4e-4  # Adam's, at first; falls to zero along a cosine
    clip_norm: float = 5.0
    doubly_stochastic: float = 1.0
    entropy: float = 0.0
    expectation: float = 0.5
    samples: int = 1
    scheduled_sampling: float = 0.0
    self_critical: bool = False
    warm_start: str | None = None  # a run folder: its vocabulary and weights are where this begins
    min_count: int = 4
    max_length: int = 20
    precision: str = "float32"
    seed: int = 0

    @classmethod
    def load(cls, run):
        path = Path(run) / CONFIG
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError as error:
            raise InputError(f"{run}: not a run folder (no {CONFIG} in it)") from error
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}: not the settings of a run ({error})") from error

    def save(self, run):
        with atomic_output(Path(run) / CONFIG) as temporary:
            temporary.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n")
