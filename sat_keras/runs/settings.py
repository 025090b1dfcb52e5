"""All that decides a run's result, nested as it belongs. No TensorFlow here.

Settings are written as nested dicts (`config.json`, recipes), whose parts are `encoder`, `decoder`,
`search`, `objective`, `data` and `training`. What is not named has its default.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

from sat_edge.errors import InputError, check_choice
from sat_edge.search import Search
from sat_keras.fields import check, setting
from sat_keras.files import write_json
from sat_keras.objectives import Objective
from sat_keras.runs.paths import CONFIG

ALL = "all"  # of an encoder's layers
OLD = "a run of sat_keras 0.1; train it again, or use that version"


class _Checked:
    def __post_init__(self):
        check(self)


@dataclass(frozen=True)
class EncoderSettings(_Checked):
    """See `encoders.Encoder`."""

    name: str = setting("mobilenet_v2", "network of the encoder", option="encoder")
    weights: str | None = setting(
        None, "imagenet, or a weights file; random if not named", option="encoder_weights"
    )
    alpha: float = setting(1.0, "width multiplier of a MobileNet", above=0)
    layer: str | None = setting(None, "layer whose grid is the annotations; the last if not named")
    image_size: int = setting(224, "height and width of photos, in pixels", least=1)
    patches: int = setting(0, "attend over N x N crops instead of a grid; 0 is off", least=0)
    fine_layer: str | None = setting(
        None, "earlier layer whose finer grid annotations get; none if not named"
    )


@dataclass(frozen=True)
class DecoderSettings(_Checked):
    """See `Captioner`."""

    attention: str = setting("soft", "kind of attention", choices=("soft", "hard", "none"))
    scorer: str = setting("additive", "how attention scores locations: additive or bilinear")
    inject: str = setting(
        "every",
        "without attention, where the picture goes in",
        choices=("first", "every", "only"),
    )
    units: int = setting(512, "size of the LSTM", least=1)
    embedding_size: int = setting(512, "size of a word's embedding", least=1)
    attention_size: int = setting(512, "size of the additive scorer", least=1)
    dropout: float = setting(0.5, "share of units dropped in training", least=0, most=1)
    max_length: int = setting(20, "longest caption, <end> included", least=2)


@dataclass(frozen=True)
class DataSettings(_Checked):
    """See `pipeline.batches` and `Vocabulary`."""

    batch_size: int = setting(64, "captions per batch", least=1)
    captions_per_photo: int = setting(1, "captions that come with a photo in a batch", least=1)
    augment: bool = setting(False, "mirror and crop photos")
    min_count: int = setting(4, "rarer words become <unk>", least=1)

    def __post_init__(self):
        super().__post_init__()
        if self.batch_size % self.captions_per_photo:
            raise InputError(
                f"batch_size {self.batch_size} is no multiple of captions_per_photo "
                f"{self.captions_per_photo}: a batch holds whole photos"
            )


@dataclass(frozen=True)
class TrainingSettings(_Checked):
    """See `training.train`.

    With `warm_start`, vocabulary and weights are those of that run or preset: `min_count` does
    nothing, nor does the encoder's `weights`, except for a preset of a decoder alone.
    """

    epochs: int = setting(5, "epochs in all", least=1)
    patience: int = setting(
        0, "epochs without a better validation CIDEr before training stops; 0: never", least=0
    )
    learning_rate: float = setting(
        4e-4, "highest learning rate of Adam, which falls to zero along a cosine", above=0
    )
    warmup: int = setting(0, "steps in which the learning rate rises from zero", least=0)
    clip_norm: float = setting(5.0, "largest norm of a step's gradients", above=0)
    fine_tune: str | None = setting(
        None, f"the encoder learns: '{ALL}', or from this layer on; frozen if not named"
    )
    warm_start: str | None = setting(None, "run or preset to begin with")
    precision: str = setting(
        "float32",
        "policy of Keras",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    )
    seed: int = setting(0, "seed of weights, order and dropout", least=0)


@dataclass(frozen=True)
class RunSettings:
    """All settings of a run.

    Args:
        dataset: str, the data set's name.
        encoder, decoder, data, training: their settings.
        search: `Search`, the captioner's own.
        objective: dict as `Objective.from_config` takes it. Defaults to `None`: the one that fits
            the attention.
    Raises:
        InputError: for settings that do not fit one another.
    """

    dataset: str
    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    decoder: DecoderSettings = field(default_factory=DecoderSettings)
    search: Search = field(default_factory=Search)
    objective: dict | None = None
    data: DataSettings = field(default_factory=DataSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)

    def __post_init__(self):
        config = {"name": Objective.default(self.decoder.attention), **(self.objective or {})}
        objective = Objective.from_config(config)
        objective.check_attention(self.decoder.attention)
        object.__setattr__(self, "objective", objective.get_config())
        alone = self.data.captions_per_photo == 1 or self.training.warm_start is None
        if objective.needs_references and alone:
            raise InputError(
                f"objective {objective.name} goes on from a captioner that can caption, and needs "
                "all references of a photo: name warm_start, captions_per_photo, for example 5, "
                "and a batch_size, 60"
            )

    @property
    def reads_photos(self):
        """Whether training goes through the encoder at each step, not from its annotations."""
        return self.training.fine_tune is not None or self.data.augment

    def as_dict(self):
        """Nested dicts, which `from_dict` takes."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content):
        """From nested dicts.

        Raises:
            InputError: for an unknown part or setting.
        """
        content = dict(content)
        for name, part in PARTS.items():
            if name in content:
                content[name] = _read(name, part, content[name])
        _check_names("settings", cls, content)
        return cls(**content)

    @classmethod
    def load(cls, run):
        """Those of a run folder.

        Raises:
            InputError: if it is no run folder, or its settings are damaged.
        """
        path = Path(run) / CONFIG
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError as error:
            raise InputError(f"{run}: not a run folder (no {CONFIG} in it)") from error
        except ValueError as error:
            raise InputError(f"{path}: not the settings of a run ({error})") from error
        if is_old(content):
            raise InputError(f"{run}: {OLD}")
        try:
            return cls.from_dict(content)
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}: not the settings of a run ({error})") from error

    def save(self, run):
        write_json(Path(run) / CONFIG, self.as_dict())


PARTS = {
    "encoder": EncoderSettings,
    "decoder": DecoderSettings,
    "search": Search,
    "data": DataSettings,
    "training": TrainingSettings,
}


def is_old(content):
    """Whether these are settings of version 0.1, which were not nested."""
    return isinstance(content, dict) and "learning_rate" in content


def _check_names(what, dataclass_, content):
    """Raises `InputError` for a name that is none of a dataclass's fields."""
    known = [each.name for each in dataclasses.fields(dataclass_)]
    for name in content:
        check_choice(f"name among the {what}", name, known)


def _read(name, part, content):
    if isinstance(content, part):
        return content
    if not isinstance(content, dict):
        raise InputError(f"the {name} settings are {content!r}: name a dict")
    _check_names(f"{name} settings", part, content)
    return part(**content)
