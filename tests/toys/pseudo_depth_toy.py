"""Tiny depth networks with random weights, and images of all kinds, for the tests of pseudo depth."""

import json
import os

import numpy as np
import torch
from huggingface_hub import constants
from PIL import Image

# Both are needed: the first for processes started by a test, the second if the library is imported already.
os.environ["HF_HUB_OFFLINE"] = "1"
constants.HF_HUB_OFFLINE = True

MODELS = ("dpt", "depth_anything", "metric")


def _dpt(transformers):
    config = transformers.DPTConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8] * 4, fusion_hidden_size=8,
    )  # fmt: skip
    processor = transformers.DPTImageProcessor(size={"height": 32, "width": 32})
    return transformers.DPTForDepthEstimation(config), processor


def _depth_anything(transformers, kind):
    backbone = transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, mlp_ratio=1, image_size=28, patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False,
    )  # fmt: skip
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=32, neck_hidden_sizes=[8] * 4, fusion_hidden_size=8,
        head_hidden_size=8, depth_estimation_type=kind, max_depth=20,
    )  # fmt: skip
    processor = transformers.DPTImageProcessor(
        size={"height": 28, "width": 28}, keep_aspect_ratio=True, ensure_multiple_of=14
    )
    return transformers.DepthAnythingForDepthEstimation(config), processor


def save_model(folder, name, change=None):
    """Save a random network and its image processor; ``change(network, processor)`` may alter them before."""
    import transformers

    torch.manual_seed(0)
    if name == "dpt":
        network, processor = _dpt(transformers)
    else:
        network, processor = _depth_anything(transformers, "metric" if name == "metric" else "relative")
    # The default small weights give nearly constant maps; these weights give maps with relief.
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    last = network.head.head[-2] if name == "dpt" else network.head.conv3
    last.bias.data.fill_(1.0)
    if change:
        change(network, processor)
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


def break_weights(network, processor):
    """Make every output NaN."""
    next(network.head.parameters()).data.fill_(float("nan"))


def photo(height, width, seed=0):
    """Return (H, W, 3) uint8: smooth colors with relief."""
    small = np.random.default_rng(seed).integers(0, 255, (4, 5, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def write_images(folder):
    """Write five images: JPEG, gray, RGBA, odd sizes, turned by EXIF; return name -> (height, width)."""
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(photo(40, 60, 1)).save(folder / "a.jpg", quality=95)
    Image.fromarray(photo(33, 47, 2)).convert("L").save(folder / "gray.png")
    Image.fromarray(photo(51, 29, 3)).convert("RGBA").save(folder / "sub" / "a.png")
    Image.fromarray(photo(40, 60, 4)).save(folder / "sub" / "frame.v1.jpg", quality=95)
    exif = Image.Exif()
    exif[274] = 6  # stored on its side, to be turned by 90 degrees
    Image.fromarray(photo(32, 48, 5)).save(folder / "turned.jpg", quality=95, exif=exif)
    return {"a.jpg": (40, 60), "gray.png": (33, 47), "sub/a.png": (51, 29), "sub/frame.v1.jpg": (40, 60),
            "turned.jpg": (48, 32)}  # fmt: skip


def write_json(path, sizes):
    """Write a COCO JSON file of images {name: (height, width)}."""
    images = [
        {"id": i, "file_name": name, "height": size[0], "width": size[1]}
        for i, (name, size) in enumerate(sizes.items())
    ]
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    return path


def reference(model, image_file, size, inverted=False):
    """Return (height, width) float64: expected depth, by the plain calls of transformers and Pillow."""
    import transformers
    from PIL import ImageOps

    processor = transformers.AutoImageProcessor.from_pretrained(model)
    network = transformers.AutoModelForDepthEstimation.from_pretrained(model).eval()
    image = ImageOps.exif_transpose(Image.open(image_file)).convert("RGB")
    with torch.no_grad():
        depth = network(**processor(images=image, return_tensors="pt")).predicted_depth[0].numpy()
    if inverted:
        depth = 1 / np.maximum(depth, depth.max() / 1000)
    resized = Image.fromarray(depth).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    values = np.asarray(resized, dtype=np.float64)
    return (values - values.min()) / (values.max() - values.min())
