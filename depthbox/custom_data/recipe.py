"""Training schedule of a new dataset by fixed rules, from its size, the batch size and the device.

The rules give COCO's published schedule for COCO's size (118,000 images in batches of 16: 90,000 iterations), and for a
hundred small images on the CPU about the schedule of `configs/nuclei`, which was tuned by hand. docs/my_data.md lists
the rules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .models import ModelChoice

# Epochs, and bounds of the number of images seen in total.
EPOCHS = 24
SEEN_GPU = (48_000, 1_440_000)  # 3,000 iterations of 16, and COCO's 1x
SEEN_CPU = (3_200, 16_000)  # 800 and 4,000 iterations of 4: half an hour, some hours
MIN_ITERATIONS = 500
# Upper bound of the input's short side, and the ratio of the longest side (1333 for 800 on COCO).
SIZE_GPU, SIZE_CPU, SIZE_MIN = 800, 384, 96
LONGEST = 1333 / 800
STRIDE = 32
OBJECT_SIDE = 32  # target of the zoom: median side of the objects in input pixels
ZOOM_LEAST, ZOOM_MOST = 1.1, 1.4
BATCH_CPU = 4
GPU_MEMORY = 24  # gigabytes, reference of ModelChoice.images_per_gpu


@dataclass(frozen=True)
class Facts:
    """Inputs of the rules.

    Attributes:
        images: number of training images with objects.
        val_images: number of validation images; 0 = no evaluation.
        short_side: median short side of the images in pixels.
        device: "cuda" or "cpu".
        batch: batch size over all processes.
        cores: CPU cores of this machine.
        processes: number of training processes.
        size: short side of the input in pixels; 0 = by rule.
        object_share: median side of the objects (root of the area of their boxes) as a share of the image's short side;
            0 = unknown.
        iterations, epochs: 0 = by rule; iterations take precedence.
    """

    images: int
    val_images: int
    short_side: int
    device: str
    batch: int
    cores: int = 1
    processes: int = 1
    size: int = 0
    object_share: float = 0.0
    iterations: int = 0
    epochs: float = 0


def choose_batch(model: ModelChoice, device: str, gigabytes: float, processes: int, images: int) -> int:
    """Return the batch size: 4 on the CPU; on GPUs proportional to the memory, from the model's value at 24 GB.

    Args:
        model: the network, for its ``images_per_gpu``.
        device: "cuda" or "cpu".
        gigabytes: memory per GPU.
        processes: number of processes; the batch size is a multiple of it.
        images: number of training images, an upper bound unless there are more processes.
    """
    if device == "cpu":
        each = max(1, BATCH_CPU // processes)
    else:
        each = max(1, min(16, int(model.images_per_gpu * gigabytes / GPU_MEMORY)))
    return processes * max(1, min(each, images // processes))


def choose_iterations(facts: Facts) -> int:
    """Return the number of iterations: 24 epochs within bounds of the images seen, and at least 500."""
    if facts.iterations:
        return facts.iterations
    if facts.epochs:
        return max(1, math.ceil(facts.epochs * facts.images / facts.batch))
    least, most = SEEN_CPU if facts.device == "cpu" else SEEN_GPU
    return max(MIN_ITERATIONS, round(clamp(EPOCHS * facts.images, least, most) / facts.batch))


def choose_sizes(facts: Facts) -> tuple[tuple[int, ...], int]:
    """Return the short sides of the training input, and its longest side.

    The largest short side is twice that of the images (small objects need it), at most 800 on a GPU and 384 on the CPU,
    a multiple of 32. Training varies it between 80 % and 100 % in steps of 32; testing takes the largest.
    """
    limit = SIZE_CPU if facts.device == "cpu" else SIZE_GPU
    size = facts.size or round(clamp(2 * facts.short_side, SIZE_MIN, limit) / STRIDE) * STRIDE
    first = min(size, math.ceil(0.8 * size / STRIDE) * STRIDE)
    sizes = tuple(range(first, size, STRIDE))
    return (*sizes, size), round(size * LONGEST)


def choose_zoom(facts: Facts, size: int) -> float:
    """Return the zoom for small objects: training uses crops of 1 / zoom of the image; 1 = whole images.

    The zoom gives half of the objects ``OBJECT_SIDE`` pixels. A size given by the user is kept.
    """
    if facts.size or not facts.object_share:
        return 1.0
    zoom = clamp(OBJECT_SIDE / (facts.object_share * size), 1, ZOOM_MOST)
    return zoom if zoom >= ZOOM_LEAST else 1.0


def input_keys(facts: Facts) -> dict[str, Any]:
    """Return the keys of the input size; with crops, whole images are tested at the scale of the training crops."""
    sizes, longest = choose_sizes(facts)
    zoom = choose_zoom(facts, sizes[-1])
    test = round(zoom * sizes[-1] / STRIDE) * STRIDE if zoom > 1 else sizes[-1]
    return {
        "INPUT.MIN_SIZE_TRAIN": sizes,
        "INPUT.MAX_SIZE_TRAIN": longest,
        "INPUT.MIN_SIZE_TEST": test,
        "INPUT.MAX_SIZE_TEST": round(test * LONGEST),
        "INPUT.CROP.ENABLED": zoom > 1,
        "INPUT.CROP.TYPE": "relative",
        "INPUT.CROP.SIZE": [round(1 / zoom, 2)] * 2,
    }


def make_recipe(facts: Facts, model: ModelChoice, depth: bool) -> dict[str, Any]:
    """Return the config keys that depend on the data, the batch size and the device.

    Args:
        facts: facts of the data and the machine.
        model: the network, with its optimizer and the learning rate at its reference batch size.
        depth: whether to use the whole method, with pseudo depth and an EMA teacher; else BoxInst.

    Returns:
        Dotted config keys and their values. The learning rate is linear in the batch size; with n iterations it is
        warmed up for n / 10 (at most 1,000) and divided by ten at 2/3 and 8/9 of them.
    """
    total = choose_iterations(facts)
    inputs = input_keys(facts)
    keys: dict[str, Any] = {
        "MODEL.DEVICE": facts.device,
        "MODEL.CHANNELS_LAST": facts.device == "cpu",
        "MODEL.BOXINST.BOTTOM_PIXELS_REMOVED": 0,  # only COCO's images have a border there
        "MODEL.BOXINST.PAIRWISE.WARMUP_ITERS": pairwise_warmup(total),
        **inputs,
        "SOLVER.OPTIMIZER": model.optimizer,
        "SOLVER.WEIGHT_DECAY": model.decay,
        "SOLVER.IMS_PER_BATCH": facts.batch,
        "SOLVER.REFERENCE_BATCH_SIZE": facts.batch,
        "SOLVER.BASE_LR": float(f"{model.rate * facts.batch / model.batch:.4g}"),
        "SOLVER.MAX_ITER": total,
        "SOLVER.STEPS": (max(1, 2 * total // 3), max(1, 8 * total // 9)),
        "SOLVER.WARMUP_ITERS": min(1000, total // 10),
        "SOLVER.CHECKPOINT_PERIOD": int(clamp(total // 9, 1, 5000)),
        "DATALOADER.NUM_WORKERS": choose_workers(facts),
        "TEST.EVAL_PERIOD": evaluation_period(facts, total, inputs["INPUT.CROP.SIZE"][0]),
        "TEST.FILLED_BOX_AP": True,
    }
    teacher = (inputs["INPUT.MIN_SIZE_TRAIN"][-1], inputs["INPUT.MAX_SIZE_TRAIN"])
    return keys | (depth_keys(total, *teacher) if depth else {})


def depth_keys(total: int, size: int, longest: int) -> dict[str, Any]:
    """Return the keys of the whole method: depth layer, both depth losses, and a teacher after the first LR step."""
    start = math.ceil(total * 65 / 90)
    with_teacher = total - start
    return {
        "MODEL.DEPTH.LAYER": True,
        "MODEL.DEPTH.CONSISTENCY": True,
        "MODEL.DEPTH.WARMUP_ITERS": depth_warmup(total),
        "MODEL.DISTILL.ENABLED": True,
        "MODEL.DISTILL.START_ITER": start,
        # The EMA averages over 30 % of the iterations with a teacher, at most 1,000 as in the paper.
        "MODEL.DISTILL.EMA_MOMENTUM": round(1 - 1 / clamp(0.3 * with_teacher, 10, 1000), 4),
        "MODEL.DISTILL.TEACHER_MIN_SIZE": size,
        "MODEL.DISTILL.TEACHER_MAX_SIZE": longest,
        "INPUT.DEPTH.ENABLED": True,
    }


def pairwise_warmup(total: int) -> int:
    """Return the warm-up of the pairwise loss in iterations: n / 9 (10,000 for COCO), but 300 in short runs."""
    return max(1, total // 9, min(300, total // 3))


def depth_warmup(total: int) -> int:
    """Return the warm-up of the depth consistency loss in iterations.

    It is longer than that of the pairwise loss: at full weight early in training, the loss makes masks fill their
    boxes.
    """
    return max(1, total // 9, min(6000, 2 * total // 3))


def evaluation_period(facts: Facts, total: int, crop: float = 1.0) -> int:
    """Return the evaluation period in iterations; 0 = evaluate at the end only.

    A run has nine evaluations, fewer if each takes more than a tenth of the training time. Evaluating
    an image costs about a third of training on it, more if training uses crops.
    """
    if not facts.val_images:
        return 0
    period = max(1, total // 9, math.ceil(10 * facts.val_images / (3 * facts.batch * crop**2)))
    return period if 2 * period <= total else 0


def choose_workers(facts: Facts) -> int:
    """Return the number of loader workers per process: none on one or two cores, at most four."""
    share = facts.cores // max(1, facts.processes)
    return 0 if share <= 2 else min(4, share - 1)


def clamp(value: float, least: float, most: float) -> float:
    """Return the value, limited to [least, most]."""
    return max(least, min(most, value))


def format_overrides(keys: Mapping[str, Any]) -> list[str]:
    """Format keys as KEY VALUE words for ``load_config``."""
    return [word for key, value in keys.items() for word in (key, value if isinstance(value, str) else repr(value))]
