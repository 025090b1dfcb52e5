import dataclasses

from sat_edge.errors import InputError, check_choice
from sat_keras.fields import check

# Which way each metric gets better, for callbacks of mode "auto".
_UP = ("accuracy", "reward", "grounded_mass")


class Objective:
    """What a captioner is trained for.

    A subclass is a dataclass whose fields are its settings (`fields.setting`), and names itself:

        @dataclass(eq=False)
        class Mine(Objective, name="mine"):
            strength: float = setting(1.0, "factor of the term", least=0)

            def __call__(self, captioner, batch, training): ...

    `build` creates its state, which is saved and restored with the compiled captioner.

    Attributes:
        name: str, its name in settings and on the command line.
        default_for: tuple of str, the kinds of attention that are trained for it unless another
            objective is named.
        attentions: tuple of str, the kinds of attention that it can train. `None`: all.
        needs_references: bool. Whether it goes on from a captioner that can caption, and needs
            several references of a photo in a batch.
        grounding: float, the factor of `losses.grounding`. An objective that has the term makes
            this a setting.
        metric_names: tuple of str. The metrics that it reports, and `grounded_mass` with the term.
        metrics: dict of `keras.metrics.Mean`, by name.
        variables: list of Keras variables, its state.
    """

    known = {}  # name to class
    name = None
    default_for = ()
    attentions = None
    needs_references = False
    metric_names = ("loss", "cross_entropy", "accuracy", "attention_entropy", "gradient_norm")
    grounding = 0.0

    def __init_subclass__(cls, name, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.name = name
        cls.known[name] = cls

    def __post_init__(self):
        check(self)

    def __call__(self, captioner, batch, training):
        """The loss of each caption, and what the metrics are made of.

        Args:
            captioner: `Captioner`.
            batch: `trainable.Batch`.
            training: bool. Whether it is a step of training, or of validation.
        Returns:
            Losses `(B,)`, whose mean over the whole batch is made small, and a dict of totals:
            metric name to a pair, the sum of the metric and the sum of its weights. Both are of
            this replica's rows alone.
        """
        raise NotImplementedError

    def update(self, totals):
        """Moves the state after a step. `totals` are those of the whole batch."""

    def prepare(self, captions, vocabulary):
        """Takes the training split's captions before training, if it needs references: a list per
        photo of lists of ids, without `<start>`; and the `Vocabulary` that they are of."""

    # === Grounded attention ===

    @property
    def needs_boxes(self):
        """Whether batches bring the boxes of what words name."""
        return self.grounding > 0

    def ground(self, batch, alphas):
        """The term of grounded attention, with its factor, `(B,)`, and its totals.

        Args:
            batch: `trainable.Batch`, which brings boxes where the objective needs them.
            alphas: `(B, T, L)`, the attention at the batch's words.
        """
        from keras import ops

        from sat_keras import losses

        if not self.needs_boxes:
            return 0.0, {}
        if batch.cover is None:
            raise InputError(
                "grounding needs boxes: train on batches that bring them, or set grounding to 0"
            )
        term, inside, named = losses.grounding(alphas, batch.cover, batch.mask)  # (B, T) each
        totals = {"grounded_mass": (ops.sum(inside), ops.sum(named))}
        return self.grounding * ops.sum(term, axis=-1), totals

    # === State and metrics ===

    def build(self, captioner):
        """Creates metrics and state; `compile` calls it, so that state begins anew.

        Raises:
            InputError: if it cannot train such a captioner.
        """
        import keras

        self.check_attention(captioner.attention)
        self.seeds = keras.random.SeedGenerator()
        names = (*self.metric_names, *["grounded_mass"] * self.needs_boxes)
        self.metrics = {name: keras.metrics.Mean(name) for name in names}
        for name, metric in self.metrics.items():
            metric._direction = "up" if name in _UP else "down"  # where Keras looks for it

    @property
    def variables(self):
        return [self.seeds.state]

    def next_seed(self):
        """A seed `(2,)` that no other draw had."""
        import tensorflow as tf

        return tf.cast(self.seeds.next(), tf.int32)

    def report(self, totals):
        """Adds a step's totals to the metrics, and returns their results by name."""
        from keras import ops

        for name, (total, weight) in totals.items():
            mean = ops.divide_no_nan(total, weight)
            self.metrics[name].update_state(mean, sample_weight=weight)
        return {name: self.metrics[name].result() for name in self.metrics if name in totals}

    # === Settings ===

    def check_attention(self, attention):
        """Raises `InputError` if it cannot train this kind of attention."""
        if self.attentions and attention not in self.attentions:
            raise InputError(
                f"objective {self.name} trains attention {', '.join(self.attentions)}, "
                f"not {attention}: choose another objective"
            )
        if self.needs_boxes and attention == "none":
            raise InputError(
                "grounding trains attention, and this captioner has none: set grounding to 0"
            )

    def get_config(self):
        """`{"name": ..., setting: value, ...}`, which `Objective.from_config` takes."""
        settings = {name: getattr(self, name) for name in self.setting_names()}
        return {"name": self.name, **settings}

    @classmethod
    def setting_names(cls):
        """The names of its settings."""
        return [each.name for each in dataclasses.fields(cls) if "help" in each.metadata]

    @staticmethod
    def from_config(config):
        """The objective of a configuration.

        Raises:
            InputError: for an unknown objective or setting.
        """
        settings = dict(config)
        name = settings.pop("name")
        check_choice("objective", name, Objective.known)
        objective = Objective.known[name]
        for setting in settings:
            check_choice(f"setting of objective {name}", setting, objective.setting_names())
        return objective(**settings)

    @staticmethod
    def default(attention):
        """The name of the objective that a kind of attention is trained for unless named."""
        return next(name for name, each in Objective.known.items() if attention in each.default_for)
