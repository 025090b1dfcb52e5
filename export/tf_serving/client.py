"""Captions photos by a TensorFlow Serving server, over REST or gRPC.

    python client.py photo.jpg another.png                         # REST, localhost:8501
    python client.py --grpc localhost:8500 photo.jpg

REST needs Python alone; gRPC needs `pip install tensorflow-serving-api`.
"""

import argparse
import base64
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple


class Answer(NamedTuple):
    """What the server says of a photo; the last two of a calibrated captioner alone."""

    caption: str
    log_prob: float
    ok: bool
    confidence: float | None = None
    familiarity: float | None = None


_OUTPUTS = ("captions", "log_prob", "ok", "confidence", "familiarity")  # of an `Answer`, in order


def over_rest(address, model, photos, timeout=60):
    """A list of `Answer`s, one a photo (its bytes)."""
    instances = [{"b64": base64.b64encode(photo).decode()} for photo in photos]
    request = urllib.request.Request(
        f"http://{address}/v1/models/{model}:predict",
        data=json.dumps({"instances": instances}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=timeout) as response:
        rows = json.load(response)["predictions"]
    return [Answer(*(row.get(name) for name in _OUTPUTS)) for row in rows]


def predict_request(model, photos, signature="serving_default"):
    """A `PredictRequest` of photos (their bytes)."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(photos))
    return request


def read_response(response):
    """A `PredictResponse` as a list of `Answer`s."""
    import tensorflow as tf

    names = [name for name in _OUTPUTS if name in response.outputs]
    columns = (tf.make_ndarray(response.outputs[name]).tolist() for name in names)
    return [Answer(caption.decode(), *others) for caption, *others in zip(*columns, strict=True)]


def over_grpc(address, model, photos, timeout=60):
    """A list of `Answer`s, one a photo (its bytes)."""
    import grpc
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        return read_response(stub.Predict(predict_request(model, photos), timeout=timeout))


def print_captions(photos, rows):
    """A line a photo (its path): caption, log-probability, confidence and familiarity, if known."""
    for path, each in zip(photos, rows, strict=True):
        caption = each.caption if each.ok else "(no photo that can be read)"
        numbers = [x for x in (each.log_prob, each.confidence, each.familiarity) if x is not None]
        print("\t".join([path, caption, *(f"{x:.3f}" for x in numbers)]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+", metavar="PHOTO")
    parser.add_argument("--rest", default="localhost:8501", metavar="HOST:PORT")
    parser.add_argument("--grpc", metavar="HOST:PORT", help="use gRPC")
    parser.add_argument("--model", default="captioner")
    options = parser.parse_args()
    try:
        photos = [Path(each).read_bytes() for each in options.photos]
        if options.grpc:
            rows = over_grpc(options.grpc, options.model, photos)
        else:
            rows = over_rest(options.rest, options.model, photos)
    except urllib.error.HTTPError as error:
        sys.exit(f"the server refused: {error.read().decode(errors='replace').strip()}")
    except OSError as error:
        name = error.filename or options.rest
        sys.exit(f"{name}: {error.strerror or getattr(error, 'reason', error)}")
    print_captions(options.photos, rows)
    if not all(each.ok for each in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
