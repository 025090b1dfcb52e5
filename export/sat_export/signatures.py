import tensorflow as tf

TRUST = "trust"  # operators of `Trust` have it in their names, and stay in float32


class CaptionerModule(tf.Module):
    """A captioner's exported functions, at batch 1 and with static shapes only.

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
        """Name to concrete function; `docs/file-format.md` describes each. `confidence` is one of
        them only for a captioner that is calibrated."""
        decoder, trust = self._captioner.decoder, self._captioner.trust
        names = (*decoder.state_names, *decoder.memory_names)
        image = tf.TensorSpec((1, *self._captioner.encoder.image_size, 3), tf.float32, "image")

        @tf.function(input_signature=[image])
        def caption(image):
            annotations = self._captioner.encode(image)  # (1, L, D)
            tokens, attention, log_prob = self._captioner.greedy(annotations)
            outputs = {"tokens": tokens, "attention": attention, "log_prob": log_prob}
            if trust is not None:
                with tf.name_scope(TRUST):
                    confidence, familiarity = trust(annotations, tokens[:, None], log_prob[:, None])
                outputs |= {"confidence": confidence[:, 0], "familiarity": familiarity}
            return outputs

        @tf.function(input_signature=[image])
        def encode(image):
            annotations = self._captioner.encode(image)  # (1, L, D)
            memory, state = decoder.start(annotations)
            outputs = dict(zip(names, (*state, *memory), strict=True))
            if trust is not None:
                with tf.name_scope(TRUST):
                    outputs |= trust.of_photo(annotations)
            return outputs

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

        functions = {
            "caption": caption.get_concrete_function(),
            "encode": encode,
            "step": step.get_concrete_function(),
        }
        if trust is not None:
            functions["confidence"] = _confidence(trust)
        return functions


def _confidence(trust):
    names = ("log_prob", "length", "agreement", "outlook")
    specs = [tf.TensorSpec((1,), tf.float32, name) for name in names]

    @tf.function(input_signature=specs)
    def confidence(log_prob, length, agreement, outlook):
        with tf.name_scope(TRUST):
            return {"confidence": trust.confidence(log_prob, length, agreement, outlook)}

    return confidence.get_concrete_function()
