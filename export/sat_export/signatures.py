import tensorflow as tf


class CaptionerModule(tf.Module):
    """A captioner's three exported functions, at batch 1 and with static shapes only.

    Example:
        >>> module = CaptionerModule(captioner)
        >>> tf.saved_model.save(module, path, signatures=module.signatures())
    """

    def __init__(self, captioner):
        super().__init__()
        self._captioner = captioner
        # The converter silently leaves out variables that no tf.Module attribute holds.
        self._variables = [variable.value for variable in captioner.variables]

    def signatures(self):
        """Name to concrete function.

        `caption`: `image` (1, H, W, 3) to `tokens` (1, T), `attention` (1, T, L), `log_prob` (1,).
        `encode`: `image` to `annotations`, `projected`, `h`, `c`; a decoder without attention
        remembers an `image` vector, or nothing, in place of the first two.
        `step`: `token` (1,), and what `encode` gave, to `logits` (1, V), `h`, `c`, `attention`
        (1, L).
        """
        decoder = self._captioner.decoder
        image = tf.TensorSpec((1, *self._captioner.encoder.image_size, 3), tf.float32, "image")

        @tf.function(input_signature=[image])
        def caption(image):
            tokens, attention, log_prob = self._captioner.greedy(image)
            return {"tokens": tokens, "attention": attention, "log_prob": log_prob}

        @tf.function(input_signature=[image])
        def encode(image):
            annotations = self._captioner.encode(image)
            memory, (h, c) = decoder.start(annotations)
            return {**dict(zip(decoder.memory_names, memory, strict=True)), "h": h, "c": c}

        encode = encode.get_concrete_function()
        state = {
            name: tf.TensorSpec(spec.shape, spec.dtype, name)
            for name, spec in encode.structured_outputs.items()
        }
        token = tf.TensorSpec((1,), tf.int32, "token")
        remembered = [state[name] for name in decoder.memory_names]

        @tf.function(input_signature=[token, state["h"], state["c"], *remembered])
        def step(token, h, c, *memory):
            logits, (h, c), alphas = decoder.step(token, (h, c), memory)
            return {"logits": logits, "h": h, "c": c, "attention": alphas}

        return {
            "caption": caption.get_concrete_function(),
            "encode": encode,
            "step": step.get_concrete_function(),
        }
