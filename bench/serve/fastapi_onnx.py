"""The peer: FastAPI + ONNX Runtime, decode and predict in the endpoint, as such projects have it.

    FERROTYPE_ONNX=model.onnx uvicorn fastapi_onnx:app --port 8101 --log-level warning
"""

import io
import json
import os

import numpy
import onnxruntime
from fastapi import FastAPI, UploadFile
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession(os.environ["FERROTYPE_ONNX"])
metadata = session.get_modelmeta().custom_metadata_map
manifest = json.loads(metadata["ferrotype.manifest"])
preprocessing = manifest["preprocessing"]
mean = numpy.array(preprocessing["mean"], dtype=numpy.float32)
std = numpy.array(preprocessing["std"], dtype=numpy.float32)
size = (preprocessing["width"], preprocessing["height"])
app = FastAPI()


@app.get("/health/ready")
def ready():
    return {"status": "ready"}


@app.post("/predict")
def predict(file: UploadFile):
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(file.file.read()))).convert("RGB")
    pixels = numpy.asarray(image.resize(size, Image.BILINEAR), dtype=numpy.float32) / 255
    tensor = ((pixels - mean) / std).transpose(2, 0, 1)[None]
    logits = session.run([manifest["output_name"]], {manifest["input_name"]: tensor})[0][0]
    exponentials = numpy.exp(logits - logits.max())
    probabilities = exponentials / exponentials.sum()
    best = int(probabilities.argmax())
    return {
        "class": manifest["classes"][best],
        "confidence": float(probabilities[best]),
        "probabilities": dict(zip(manifest["classes"], map(float, probabilities))),
    }
