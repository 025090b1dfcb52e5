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
        """Name to concrete function; `docs/file-format.md` describes each."""
        decoder = self._captioner.decoder
        names = (*decoder.state_names, *decoder.memory_names)
        image = tf.TensorSpec((1, *self._captioner.encoder.image_size, 3), tf.float32, "image")

        @tf.function(input_signature=[image])
        def caption(image):
            tokens, attention, log_prob = self._captioner.greedy(image)
            return {"tokens": tokens, "attention": attention, "log_prob": log_prob}

        @tf.function(input_signature=[image])
        def encode(image):
            memory, state = decoder.start(self._captioner.encode(image))
            return dict(zip(names, (*state, *memory), strict=True))

        encode = encode.get_concrete_function()
        specs = encode.structured_outputs
        specs = [tf.TensorSpec(specs[name].shape, specs[name].dtype, name) for name in names]
        count = len(decoder.state_names)

        @tf.function(input_signature=[tf.TensorSpec((1,), tf.int32, "token"), *specs])
        def step(token, *tensors):
            state, memory = tensors[:count], tensors[count:]
            logits, state, alphas = decoder.step(token, state, memory)
            returned = dict(zip(decoder.state_names, state, strict=True))
            return {"logits": logits, "attention": alphas, **returned}

        return {
            "caption": caption.get_concrete_function(),
            "encode": encode,
            "step": step.get_concrete_function(),
        }
