#!/usr/bin/env python3
"""Run a network of `depthbox export` on an image: run_onnx.py net.onnx photo.jpg result.png [score threshold]

Requires numpy, onnxruntime and Pillow, but neither DepthBox nor torch. Draws masks and boxes and prints the detections.
"""

import json
import os
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageDraw, ImageOps

if len(sys.argv) < 4:
    sys.exit(__doc__)
model, source, target, *rest = sys.argv[1:]
try:
    session = onnxruntime.InferenceSession(model, providers=onnxruntime.get_available_providers())
    notes = {key: json.loads(text) for key, text in session.get_modelmeta().custom_metadata_map.items()}
    photo = ImageOps.exif_transpose(Image.open(source)).convert("RGB")
    threshold, _ = float(rest[0]) if rest else 0.4, notes["fixed_size"]
except Exception as error:  # onnxruntime and Pillow raise many types for missing or damaged files
    print(f"run_onnx.py: {model} or {source} cannot be used: {' '.join(str(error).split())}", file=sys.stderr)
    sys.exit(2)
width, height = photo.size
if notes["fixed_size"]:  # the network accepts this image size alone
    rows, columns = notes["fixed_size"]
    scale = min(rows / height, columns / width)
else:
    scale = min(notes["short_side"] / min(height, width), notes["long_side"] / max(height, width))
h, w = (max(int(n * scale + 0.5), 1) for n in (height, width))
if not notes["fixed_size"]:
    rows, columns = (-(-n // notes["divisibility"]) * notes["divisibility"] for n in (h, w))
image = np.zeros((rows, columns, 3), dtype=np.uint8)  # zero padding below and on the right
image[:h, :w] = photo.resize((w, h), Image.Resampling.BILINEAR)
outputs = session.run(
    ["boxes", "classes", "scores", "masks"],
    {"image": image, "valid": np.array([h, w]), "size": np.array([height, width])},
)
pen = ImageDraw.Draw(photo)
for box, label, score, mask in zip(*outputs, strict=True):
    if score >= threshold:
        color = tuple(np.random.default_rng(int(label)).integers(64, 256, 3).tolist())
        photo.paste(color, mask=Image.fromarray(mask.astype(np.uint8) * 128))
        pen.rectangle(box.tolist(), outline=color)
        pen.text((box[0] + 2, box[1] + 1), f"{notes['classes'][label]} {score:.2f}", fill="white")
        print(f"{notes['classes'][label]} {score:.3f} {[round(float(x), 1) for x in box]}")
partial = os.path.join(os.path.dirname(target), f".partial_{os.path.basename(target)}")
try:
    photo.save(partial)  # an older result is kept if the disk is full
    os.replace(partial, target)
except OSError as error:
    sys.exit(f"{target} cannot be written: {error}")
