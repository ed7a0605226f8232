"""Training schedule of stage A, masks from points, by fixed rules from the data, the batch size and the device.

All numbers stand at the top of this file. Those of a GPU are the published ones (VOC: 50,000 iterations of 8 images,
Adam 5e-5, crops of 416 pixels). Those of the CPU have smaller crops: the cost of the affinity grows with the square of
the cells.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from ..recipe import (
    LONGEST,
    STRIDE,
    Facts,
    choose_iterations,
    choose_sizes,
    choose_workers,
    clamp,
    evaluation_period,
)


@dataclass(frozen=True)
class PointRates:
    """Numbers of the rules for one kind of device.

    Attributes:
        optimizer, rate, batch, decay: optimizer, learning rate at this reference batch size, and weight decay.
        crop: short side of the training crops in input pixels, the mean of ``scales``.
        object_side: side of a typical object in input pixels at the test size, which is larger than that of boxes for
            smaller objects.
        zoom: bound of this enlargement.
        scales: bounds of the sizes of the crops relative to ``crop``.
        epochs: passes over the images.
        seen: bounds of the number of images seen in total.
        warmup: warm-up of the learning rate as a share of the iterations.
        longest_warmup: its upper bound in iterations.
        semantic_warmup: as a share of the iterations, the part before a learned class map is used.
        min_area: pixels at the input size; smaller components of the class map give no first label.
        affinity_power: exponent of the affinity in the propagation of the class map.
        direct_weight: weight of the class loss before the propagation.
        head_std: standard deviation of the initial filters of the heads; 0 = torch's rule.
        fpn_norm: norm of the feature pyramid.
    """

    optimizer: str
    rate: float
    batch: int
    decay: float
    crop: int
    epochs: int
    seen: tuple[int, int]
    scales: tuple[float, float] = (0.7, 1.3)
    object_side: int = 40
    zoom: float = 1.6
    warmup: float = 0.05
    longest_warmup: int = 2000
    semantic_warmup: float = 0.25
    min_area: int = 50
    affinity_power: float = 1.0
    direct_weight: float = 0.0
    head_std: float = 0.001
    fpn_norm: str = ""


GPU = PointRates("ADAM", 5e-5, 8, 0.0, 416, 38, (24_000, 1_600_000))
# As configs/p2seg/nuclei_points.yaml, which was tuned by hand.
CPU = PointRates(
    *("ADAMW", 1e-3, 4, 0.01, 224, 17, (1_600, 12_000)),
    scales=(0.85, 1.15),
    warmup=0.05,
    min_area=20,
    affinity_power=8.0,
    direct_weight=1.0,
    head_std=0.0,
    fpn_norm="GN",
)
_DENSITY = 0.4  # side of an object as a share of the distance between the points


def make_point_recipe(facts: Facts, source: str, depth: bool) -> dict[str, Any]:
    """Return the config keys of stage A that depend on the data, the batch size and the device.

    Args:
        facts: facts of the data and the machine; ``val_images`` counts images with a mask for each object.
        source: MODEL.P2SEG.SEMANTIC.SOURCE.
        depth: whether depth maps contribute to the class map.

    Returns:
        Dotted config keys and their values.
    """
    rates = CPU if facts.device == "cpu" else GPU
    total = choose_point_iterations(facts, rates)
    inputs = point_input_keys(facts, rates)
    return {
        "MODEL.DEVICE": facts.device,
        "MODEL.CHANNELS_LAST": facts.device == "cpu",
        "MODEL.P2SEG.MIN_AREA": rates.min_area,
        "MODEL.P2SEG.AFFINITY_POWER": rates.affinity_power,
        "MODEL.P2SEG.DIRECT_WEIGHT": rates.direct_weight,
        "MODEL.P2SEG.HEAD_STD": rates.head_std,
        "MODEL.FPN.NORM": rates.fpn_norm,
        "MODEL.P2SEG.SEMANTIC.SOURCE": source,
        "MODEL.P2SEG.SEMANTIC.WARMUP_ITERS": round(rates.semantic_warmup * total),
        "MODEL.P2SEG.SEMANTIC.DEPTH": depth,
        # As in self-distillation: over 30 % of the iterations with a learned class map, at most 1,000.
        "MODEL.DISTILL.EMA_MOMENTUM": round(1 - 1 / clamp(0.3 * (1 - rates.semantic_warmup) * total, 10, 1000), 4),
        "INPUT.DEPTH.ENABLED": depth,
        **inputs,
        "SOLVER.OPTIMIZER": rates.optimizer,
        "SOLVER.WEIGHT_DECAY": rates.decay,
        "SOLVER.IMS_PER_BATCH": facts.batch,
        "SOLVER.REFERENCE_BATCH_SIZE": facts.batch,
        "SOLVER.BASE_LR": float(f"{rates.rate * facts.batch / rates.batch:.4g}"),
        "SOLVER.MAX_ITER": total,
        "SOLVER.LR_SCHEDULER_NAME": "WarmupPolyLR",
        "SOLVER.STEPS": (),
        "SOLVER.WARMUP_ITERS": min(rates.longest_warmup, round(rates.warmup * total)),
        "SOLVER.CHECKPOINT_PERIOD": int(clamp(total // 9, 1, 5000)),
        "DATALOADER.NUM_WORKERS": choose_workers(facts),
        # The cost of the affinity grows with the square of the pixels, that of other parts with the pixels.
        "TEST.EVAL_PERIOD": evaluation_period(facts, total, inputs["INPUT.CROP.SIZE"][0] ** 2),
    }


def point_input_keys(facts: Facts, rates: PointRates) -> dict[str, Any]:
    """Return the keys of the input size: training on crops at the scale of the whole images that are labeled.

    Images that are not larger than a crop are used as a whole. The scale varies within ``PointRates.scales``. Images of
    small objects are enlarged, unless the user gives a size.
    """
    sizes, _ = choose_sizes(facts)
    size = sizes[-1]
    if facts.object_share and not facts.size:
        zoom = clamp(rates.object_side / (facts.object_share * size), 1, rates.zoom)
        size = round(zoom * size / STRIDE) * STRIDE
    crop = min(rates.crop, size)
    least, most = (math.ceil(share * crop / STRIDE) for share in rates.scales)
    return {
        "INPUT.MIN_SIZE_TRAIN": tuple(STRIDE * number for number in range(least, max(least + 1, most))),
        "INPUT.MAX_SIZE_TRAIN": round(rates.scales[1] * crop * LONGEST),
        "INPUT.MIN_SIZE_TEST": size,
        "INPUT.MAX_SIZE_TEST": round(size * LONGEST),
        "INPUT.CROP.ENABLED": crop < size,
        "INPUT.CROP.TYPE": "relative",
        "INPUT.CROP.SIZE": [round(crop / size, 3)] * 2,
    }


def estimate_object_share(images: int, objects: int) -> float:
    """Estimate the side of an object as a share of the image's side, from the number of objects per image."""
    return _DENSITY / math.sqrt(max(objects / max(images, 1), 1))


def choose_point_iterations(facts: Facts, rates: PointRates) -> int:
    """Return the number of iterations: as given, else epochs within bounds of the images seen."""
    if facts.iterations or facts.epochs:
        return choose_iterations(facts)
    return round(clamp(rates.epochs * facts.images, *rates.seen) / facts.batch)


def without_validation(facts: Facts) -> Facts:
    """Return the facts of a run that is not evaluated."""
    return dataclasses.replace(facts, val_images=0)
