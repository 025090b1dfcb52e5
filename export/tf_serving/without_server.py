"""Answers a request as the server does, without the server: to try a model out.

    pip install tensorflow tensorflow-serving-api
    python without_server.py models/captioner/1 photo.jpg another.png

The photos become a serialised PredictRequest; it is read back, run by the signature that it names,
and answered with a serialised PredictResponse.
"""

import argparse
from pathlib import Path

import tensorflow as tf
from client import predict_request, print_captions, read_response
from tensorflow_serving.apis import predict_pb2


def answer(model, request):
    """Bytes of a `PredictRequest` to bytes of a `PredictResponse`.

    Args:
        model: what `tf.saved_model.load` gave.
        request: bytes.
    """
    request = predict_pb2.PredictRequest.FromString(request)
    inputs = {name: tf.constant(tf.make_ndarray(x)) for name, x in request.inputs.items()}
    outputs = model.signatures[request.model_spec.signature_name](**inputs)
    response = predict_pb2.PredictResponse(model_spec=request.model_spec)
    for name, value in outputs.items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
    return response.SerializeToString()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", metavar="FOLDER", help="a version's folder")
    parser.add_argument("photos", nargs="+", metavar="PHOTO")
    options = parser.parse_args()
    photos = [Path(each).read_bytes() for each in options.photos]
    request = predict_request("captioner", photos).SerializeToString()
    response = answer(tf.saved_model.load(options.model), request)
    print_captions(options.photos, read_response(predict_pb2.PredictResponse.FromString(response)))


if __name__ == "__main__":
    main()
