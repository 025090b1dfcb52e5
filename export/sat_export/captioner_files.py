"""What lies beside the model in every exported captioner; see `docs/file-format.md`."""

from importlib.metadata import version

from sat_edge.settings import Settings, State

VOCABULARY, CAPTIONER_JSON = "vocabulary.txt", "captioner.json"


def settings_of(captioner, target, scheme, search=None, compression=None, trained_on=None):
    """The `Settings` that an exported captioner says of itself.

    Args:
        captioner: `sat_keras.Captioner`.
        target: str, `"cpu"`, `"gpu"` or `"server"`.
        scheme: `schemes.Scheme`.
        search: `Search`, the default of what is exported. Defaults to `None`: the captioner's.
        compression: dict of options of `compression.compress`. Defaults to `None`.
        trained_on: str, the data set's name. Defaults to `None`: not known.
    """
    encoder, decoder = captioner.encoder, captioner.decoder
    described = ("attention", "scorer", "inject", "units", "embedding_size", "attention_size")
    has_steps = target != "server"
    return Settings(
        target=target,
        image_size=tuple(encoder.image_size),
        grid=tuple(encoder.grid),
        regions=tuple(map(tuple, encoder.regions.round(6).tolist())),
        max_length=captioner.max_length,
        vocabulary_size=len(captioner.vocabulary),
        state=State(decoder.state_names, decoder.memory_names) if has_steps else State(),
        search=search or captioner.search,
        captioner={name: getattr(captioner, name) for name in described},
        encoder=encoder.get_config(),
        quantization={"encoder": scheme.encoder, "decoder": scheme.decoder},
        least_litert=scheme.least_litert,
        compression=compression,
        trained_on=trained_on,
        sat_keras=version("sat-keras"),
    )
