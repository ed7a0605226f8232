"""Request of a training run on a user's own data, and the config of a run in one stage."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode

from ..config.defaults import add_depthbox_config
from ..config.loading import ConfigError, load_config
from ..engine.schedule import scale_schedule
from .methods import check_method, check_point_options, choose_method
from .models import ModelChoice, choose_model, weight_keys
from .overrides import check_overrides, read_overrides
from .points.networks import is_labeler
from .prepare import PreparedData, prepare
from .recipe import LONGEST, SIZE_CPU, SIZE_GPU, Facts, choose_batch, format_overrides, make_recipe
from .sources import OwnData

_POSITIVE = ("batch_size", "size", "epochs", "iterations", "num_gpus")
_DATA_PATHS = ("images", "depth", "class_maps", "val_data", "val_images")
_DATA_KEYS = {"val_share": "val_share", "split_seed": "seed"}
_FIELDS = ("model", "weights", "method", "stage", "device", "batch_size", "size", "epochs", "iterations")


@dataclass(frozen=True)
class OwnTraining:
    """Options of ``depthbox train --data``. For "", 0 and None the rules choose the value.

    Attributes:
        own: the data.
        output: folder of the run.
        model, weights: see ``models``.
        method: "boxinst", "depthbox" or "p2seg"; "" = by the data, see ``methods.choose_method``.
        stage: "a" or "b" for one stage of p2seg; "" = both.
        device: "cuda" or "cpu"; "" = cuda if available.
        batch_size, size, epochs, iterations: see ``recipe.Facts``.
        processes: number of processes on all machines.
    """

    own: OwnData
    output: str
    model: str = ""
    weights: str = ""
    method: str = ""
    stage: str = ""
    device: str = ""
    batch_size: int = 0
    size: int = 0
    epochs: float = 0
    iterations: int = 0
    processes: int = 1

    @classmethod
    def from_options(cls, options: Mapping[str, Any], processes: int = 1) -> OwnTraining:
        """Build the request from options of the command line or a settings file; missing ones take the defaults.

        Args:
            options: names as on the command line, with underscores; ``data`` is required.
            processes: number of processes on all machines.

        Raises:
            ConfigError: a number that must be positive is not.
        """
        for name in _POSITIVE:
            if not 0 < options.get(name, 1) < math.inf:
                raise ConfigError(f"--{name.replace('_', '-')} is {options[name]}: it must be a number above 0")
        data = Path(options["data"])
        given: dict[str, Any] = {name: Path(options[name]) for name in _DATA_PATHS if name in options}
        given |= {key: options[name] for name, key in _DATA_KEYS.items() if name in options}
        own = OwnData(data, **given)
        fields = {name: options[name] for name in _FIELDS if name in options}
        output = str(options.get("output", Path("output") / _run_name(data)))
        return cls(own, output=output, processes=processes, **fields)


@dataclass(frozen=True)
class OwnRequest:
    """Request of a user with the prepared data and the choices that do not depend on the network.

    Attributes:
        training: the request.
        overrides: KEY VALUE KEY VALUE..., which take precedence over all rules.
        data: the prepared data.
        device, method: the choices.
        output: folder of the run.
    """

    training: OwnTraining
    overrides: tuple[str, ...]
    data: PreparedData
    device: str
    method: str
    output: str


@dataclass(frozen=True)
class OwnRun:
    """Frozen config of a training run, and the data, network and method from which it was derived."""

    cfg: CfgNode
    data: PreparedData
    model: ModelChoice
    method: str


def read_request(training: OwnTraining, overrides: Sequence[str] = (), *, check: bool = True) -> OwnRequest:
    """Prepare the data and choose the method; nothing is written.

    Args:
        training: request of the user.
        overrides: KEY VALUE KEY VALUE..., which take precedence over all rules. Overrides of device, batch size, number
            of iterations, seed and output folder are also inputs of the rules.
        check: whether to check the data first.

    Raises:
        ConfigError: options that do not fit each other or the data.
        ValueError, OSError: see ``prepare.prepare``.
    """
    own = training.own
    check_overrides(overrides)  # reports wrong overrides before the data are read, which takes minutes
    given = read_overrides(overrides)
    device = choose_device(given.get("MODEL.DEVICE", training.device))
    check_method(training.method, own.depth is not None)
    if not is_labeler(training.model):
        weight_keys(choose_model(training.model, device), training.weights)
    output = given.get("OUTPUT_DIR", training.output)
    limit = training.size or (SIZE_CPU if device == "cpu" else SIZE_GPU)
    data = prepare(own, Path(output), check=check, min_size=limit, max_size=round(limit * LONGEST))
    method = choose_method(training.method, own, data.train.kinds)
    if method != "p2seg":
        check_point_options(training.stage, own, overrides)
    return OwnRequest(training, tuple(overrides), data, device, method, output)


def configure_own(training: OwnTraining, overrides: Sequence[str] = (), *, check: bool = True) -> OwnRun:
    """Prepare the data and build the config of a run in one stage, see ``read_request`` and ``configure_direct``."""
    return configure_direct(read_request(training, overrides, check=check))


def configure_direct(request: OwnRequest) -> OwnRun:
    """Build the config of a run in one stage.

    Raises:
        ConfigError: options that do not fit each other.
        ValueError: the weight file cannot be read.
    """
    training, data = request.training, request.data
    model = choose_model(training.model, request.device)
    weights = weight_keys(model, training.weights)
    facts = make_facts(request, model, read_overrides(request.overrides))
    keys = {
        **model.keys,
        **make_recipe(facts, model, depth=request.method == "depthbox"),
        **weights,
        **data_keys(training.own, data, Path(request.output).name),
        "OUTPUT_DIR": request.output,
        "SEED": training.own.seed,
    }
    cfg = load_config(add_depthbox_config, overrides=[*format_overrides(keys), *request.overrides])
    return OwnRun(scale_schedule(cfg), data, model, request.method)


def _run_name(data: Path) -> str:
    """Name a run after its data: the folder's name for generic file names such as data.yaml."""
    generic = data.is_dir() or data.stem.lower() in ("data", "annotations", "_annotations.coco")
    folder = data if data.is_dir() else data.parent
    name = folder.resolve().name if generic else data.stem
    return name or "data"


def make_facts(request: OwnRequest, model: ModelChoice, given: Mapping[str, str]) -> Facts:
    """Collect the inputs of the rules.

    Args:
        request: the request.
        model: the network.
        given: overrides by key, see ``read_overrides``.
    """
    training, data = request.training, request.data
    batch = int(given.get("SOLVER.IMS_PER_BATCH", 0)) or training.batch_size
    memory, images = gpu_gigabytes(request.device), data.train.annotated
    return Facts(
        images=images,
        val_images=data.val.count if data.val else 0,
        short_side=data.short_side,
        object_share=data.object_share,
        device=request.device,
        batch=batch or choose_batch(model, request.device, memory, training.processes, images),
        cores=os.cpu_count() or 1,
        processes=training.processes,
        size=training.size,
        iterations=int(given.get("SOLVER.MAX_ITER", 0)) or training.iterations,
        epochs=training.epochs,
    )


def choose_device(device: str) -> str:
    """Return the given device; "" or "auto" = a GPU if one is usable, else the CPU."""
    if device not in ("", "auto"):
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def gpu_gigabytes(device: str) -> float:
    """Return the memory of the GPU in GiB, 0 on the CPU."""
    if device == "cpu" or not torch.cuda.is_available():
        return 0.0
    return torch.cuda.get_device_properties(torch.device(device)).total_memory / 2**30


def data_keys(own: OwnData, data: PreparedData, name: str) -> dict[str, Any]:
    """Return the config keys that name the datasets (NAME_train, NAME_val) and their number of classes."""
    depth = "" if own.depth is None else os.path.abspath(own.depth)
    train, val = f"{name}_train", f"{name}_val"
    sets = [(train, data.train, depth)] + ([(val, data.val, "")] if data.val else [])
    return {
        "DATASETS.COCO_STYLE": [[key, str(part.json_file), str(part.images), place] for key, part, place in sets],
        "DATASETS.TRAIN": (train,),
        "DATASETS.TEST": (val,) if data.val else (),
        "MODEL.FCOS.NUM_CLASSES": len(data.classes),
    }
