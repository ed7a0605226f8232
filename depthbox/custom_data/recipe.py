"""A schedule for a data set nobody has trained on yet: from its size, the batch and the device, by fixed rules.

The rules give COCO's published schedule for COCO's size (118,000 images in batches of 16: 90,000 iterations), and for a
hundred small images on the CPU about what `configs/nuclei` was tuned to by hand. docs/my_data.md lists them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .models import ModelChoice

# How often each image is seen, and between how many images in all.
EPOCHS = 24
SEEN_GPU = (48_000, 1_440_000)  # 3,000 iterations of 16, and COCO's 1x
SEEN_CPU = (3_200, 16_000)  # 800 and 4,000 iterations of 4: half an hour, some hours
MIN_ITERATIONS = 500
# Short side of the input at most, and the longest side that goes with COCO's 800.
SIZE_GPU, SIZE_CPU, SIZE_MIN = 800, 384, 96
LONGEST = 1333 / 800
STRIDE = 32
OBJECT_SIDE = 32  # pixels of the input that half of the objects should have at least
ZOOM_LEAST, ZOOM_MOST = 1.1, 1.4
BATCH_CPU = 4
GPU_MEMORY = 24  # gigabytes that ModelChoice.images_per_gpu is meant for


@dataclass(frozen=True)
class Facts:
    """What the rules look at.

    Attributes:
        images: with objects, to train on.
        val_images: to evaluate on; 0 = no evaluation.
        short_side: median short side of the images in pixels.
        device: "cuda" or "cpu".
        batch: images an iteration, over all processes.
        cores: of this machine.
        processes: of the training on this machine.
        size: short side of the input in pixels; 0 = by rule.
        object_share: median side of the objects (root of the area of their boxes) as a share of the image's short side;
            0 = not known.
        iterations, epochs: 0 = by rule; iterations win.
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
    """Images an iteration: 4 on the CPU; on GPUs what the model takes at 24 GB, in proportion to the memory.

    Args:
        model: its ``images_per_gpu``.
        device: "cuda" or "cpu".
        gigabytes: memory of a GPU.
        processes: in all; the batch is a multiple of their number.
        images: to train on; the batch is not larger than their number, unless the processes are.
    """
    if device == "cpu":
        each = max(1, BATCH_CPU // processes)
    else:
        each = max(1, min(16, int(model.images_per_gpu * gigabytes / GPU_MEMORY)))
    return processes * max(1, min(each, images // processes))


def choose_iterations(facts: Facts) -> int:
    """24 epochs, but between a least and a most number of images seen, and at least 500 iterations."""
    if facts.iterations:
        return facts.iterations
    if facts.epochs:
        return max(1, math.ceil(facts.epochs * facts.images / facts.batch))
    least, most = SEEN_CPU if facts.device == "cpu" else SEEN_GPU
    return max(MIN_ITERATIONS, round(clamp(EPOCHS * facts.images, least, most) / facts.batch))


def choose_sizes(facts: Facts) -> tuple[tuple[int, ...], int]:
    """Short sides of the input in training, and its longest side.

    The largest short side is twice that of the images (small objects need it), at most 800 on a GPU and 384 on the CPU,
    a multiple of 32. Training varies it between 80 % and 100 % in steps of 32; testing takes the largest.
    """
    limit = SIZE_CPU if facts.device == "cpu" else SIZE_GPU
    size = facts.size or round(clamp(2 * facts.short_side, SIZE_MIN, limit) / STRIDE) * STRIDE
    first = min(size, math.ceil(0.8 * size / STRIDE) * STRIDE)
    sizes = tuple(range(first, size, STRIDE))
    return (*sizes, size), round(size * LONGEST)


def choose_zoom(facts: Facts, size: int) -> float:
    """How much larger small objects are shown: training takes crops, 1 / zoom of the image; 1 = whole images.

    For half of the objects to have ``OBJECT_SIDE`` pixels; a size that the user names stays as it is.
    """
    if facts.size or not facts.object_share:
        return 1.0
    zoom = clamp(OBJECT_SIDE / (facts.object_share * size), 1, ZOOM_MOST)
    return zoom if zoom >= ZOOM_LEAST else 1.0


def input_keys(facts: Facts) -> dict[str, Any]:
    """Sizes of the input; with crops, the whole image is tested at the size at which its parts were trained."""
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
    """The keys of the config that depend on the data, the batch and the device.

    Args:
        facts: of the data and machine.
        model: the network: optimiser, its learning rate at its reference batch.
        depth: the whole method, with pseudo depth and a teacher; else BoxInst.

    Returns:
        Dotted keys of the config and their values. The learning rate is linear in the batch; with n iterations it is
        warmed up for n / 10 (at most 1,000) and divided by ten at 2/3 and 8/9 of them.
    """
    total = choose_iterations(facts)
    inputs = input_keys(facts)
    keys: dict[str, Any] = {
        "MODEL.DEVICE": facts.device,
        "MODEL.CHANNELS_LAST": facts.device == "cpu",
        "MODEL.BOXINST.BOTTOM_PIXELS_REMOVED": 0,  # COCO's images alone have a border there
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
    """The whole method: depth layer, both depth losses, and a teacher from shortly after the first step on."""
    start = math.ceil(total * 65 / 90)
    with_teacher = total - start
    return {
        "MODEL.DEPTH.LAYER": True,
        "MODEL.DEPTH.CONSISTENCY": True,
        "MODEL.DEPTH.WARMUP_ITERS": depth_warmup(total),
        "MODEL.DISTILL.ENABLED": True,
        "MODEL.DISTILL.START_ITER": start,
        # The teacher remembers a third of its time, at most 1,000 iterations as in the paper.
        "MODEL.DISTILL.EMA_MOMENTUM": round(1 - 1 / clamp(0.3 * with_teacher, 10, 1000), 4),
        "MODEL.DISTILL.TEACHER_MIN_SIZE": size,
        "MODEL.DISTILL.TEACHER_MAX_SIZE": longest,
        "INPUT.DEPTH.ENABLED": True,
    }


def pairwise_warmup(total: int) -> int:
    """Iterations in which the pairwise loss grows: n / 9 (COCO's 10,000), but 300 in short trainings."""
    return max(1, total // 9, min(300, total // 3))


def depth_warmup(total: int) -> int:
    """The same for depth consistency: longer, as it makes boxes of masks that are still vague (docs/method.md)."""
    return max(1, total // 9, min(6000, 2 * total // 3))


def evaluation_period(facts: Facts, total: int, crop: float = 1.0) -> int:
    """Nine evaluations, fewer where each would take longer than a tenth of the training; 0 = at the end alone.

    An image costs about a third of a training step's share of it, more where training sees a crop of it.
    """
    if not facts.val_images:
        return 0
    period = max(1, total // 9, math.ceil(10 * facts.val_images / (3 * facts.batch * crop**2)))
    return period if 2 * period <= total else 0


def choose_workers(facts: Facts) -> int:
    """Loader processes for each process: none on one or two cores, four at most."""
    share = facts.cores // max(1, facts.processes)
    return 0 if share <= 2 else min(4, share - 1)


def clamp(value: float, least: float, most: float) -> float:
    """The value, or the bound that it crosses."""
    return max(least, min(most, value))


def overrides(keys: Mapping[str, Any]) -> list[str]:
    """KEY VALUE words for ``load_config``."""
    return [word for key, value in keys.items() for word in (key, value if isinstance(value, str) else repr(value))]
