"""Keys of a config that must fit each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from detectron2.config import CfgNode

from .error import ConfigError

_STAGES = ["res2", "res3", "res4", "res5"]
Finding = tuple[str, str]  # key, and what is wrong with it


def check_consistency(cfg: CfgNode, sources: Mapping[str, str]) -> None:
    """Compare the keys that depend on each other; the network's own keys only if it is a DepthBox or P2Seg.

    Args:
        cfg: a config whose values have the right types and ranges.
        sources: file of each key that was set, for messages.

    Raises:
        ConfigError: naming the file, the keys and their values.
    """
    checks: list[Callable[[CfgNode], Iterator[Finding]]] = [_check_input, _check_solver]
    if cfg.MODEL.META_ARCHITECTURE == "DepthBox":
        checks += [_check_levels, _check_pixels, _check_pyramid, _check_masks, _check_teacher, _check_resnet]
    if cfg.MODEL.META_ARCHITECTURE == "P2Seg":
        checks += [_check_pixels, _check_pyramid, _check_points, _check_resnet]
    if cfg.MODEL.META_ARCHITECTURE == "GeneralizedRCNN":
        checks += [_check_mask_rcnn]
    for check in checks:
        for key, problem in check(cfg):
            source = sources.get(key, "")
            raise ConfigError(f"{source and f'{source}: '}{key} is {_find(cfg, key)!r}, {problem}")


def _find(cfg: CfgNode, key: str) -> object:
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


def _check_input(cfg: CfgNode) -> Iterator[Finding]:
    node = cfg.INPUT
    if node.MIN_SIZE_TRAIN_SAMPLING == "range" and len(node.MIN_SIZE_TRAIN) != 2:
        yield "INPUT.MIN_SIZE_TRAIN", "but INPUT.MIN_SIZE_TRAIN_SAMPLING range needs two values: lowest and highest"
    if node.MIN_SIZE_TRAIN_SAMPLING == "range" and node.MIN_SIZE_TRAIN[0] > node.MIN_SIZE_TRAIN[-1]:
        yield "INPUT.MIN_SIZE_TRAIN", "but the first value of a range is its lowest"
    if not node.CROP.ENABLED:
        return
    sizes, kind = node.CROP.SIZE, node.CROP.TYPE
    if kind.startswith("relative") and max(sizes) > 1:
        yield "INPUT.CROP.SIZE", f"but with INPUT.CROP.TYPE {kind} both values are shares of at most 1"
    if kind.startswith("absolute") and not all(isinstance(size, int) for size in sizes):
        yield "INPUT.CROP.SIZE", f"but with INPUT.CROP.TYPE {kind} both values are whole pixels"
    if kind == "absolute_range" and sizes[0] > sizes[1]:
        yield "INPUT.CROP.SIZE", "but the first value of a range is its lowest"


def _check_solver(cfg: CfgNode) -> Iterator[Finding]:
    solver = cfg.SOLVER
    if solver.NESTEROV and solver.MOMENTUM == 0 and solver.get("OPTIMIZER", "SGD") == "SGD":
        yield "SOLVER.NESTEROV", "but Nesterov's method needs SOLVER.MOMENTUM above 0"


def _check_levels(cfg: CfgNode) -> Iterator[Finding]:
    node, levels = cfg.MODEL.FCOS, len(cfg.MODEL.FCOS.IN_FEATURES)
    if len(node.FPN_STRIDES) != levels:
        yield "MODEL.FCOS.FPN_STRIDES", f"but MODEL.FCOS.IN_FEATURES names {levels} levels: give one stride per level"
    if len(node.SIZES_OF_INTEREST) != levels - 1:
        yield (
            "MODEL.FCOS.SIZES_OF_INTEREST",
            f"but MODEL.FCOS.IN_FEATURES names {levels} levels: give one bound fewer, {levels - 1}",
        )


def _check_pixels(cfg: CfgNode) -> Iterator[Finding]:
    for key in ("PIXEL_MEAN", "PIXEL_STD"):
        if len(cfg.MODEL[key]) != 3:
            yield f"MODEL.{key}", "but images have three channels: give three values"


def _check_pyramid(cfg: CfgNode) -> Iterator[Finding]:
    if cfg.MODEL.FPN.NORM == "GN" and cfg.MODEL.FPN.OUT_CHANNELS % 32:
        yield "MODEL.FPN.OUT_CHANNELS", "but MODEL.FPN.NORM GN needs a multiple of 32"


def _check_points(cfg: CfgNode) -> Iterator[Finding]:
    node = cfg.MODEL.P2SEG
    if node.SEMANTIC.DEPTH and not cfg.INPUT.DEPTH.ENABLED:
        yield "MODEL.P2SEG.SEMANTIC.DEPTH", "but INPUT.DEPTH.ENABLED is False: set it True, or DEPTH False"
    if node.SEMANTIC.SOURCE == "points" and cfg.MODEL.CONDINST.MASK_OUT_STRIDE != 4:
        yield "MODEL.CONDINST.MASK_OUT_STRIDE", "but MODEL.P2SEG.SEMANTIC.SOURCE points needs 4"


def _check_masks(cfg: CfgNode) -> Iterator[Finding]:
    branch = cfg.MODEL.CONDINST.MASK_BRANCH
    if branch.NORM == "GN" and branch.CHANNELS % 32:
        yield "MODEL.CONDINST.MASK_BRANCH.CHANNELS", "but MODEL.CONDINST.MASK_BRANCH.NORM GN needs a multiple of 32"
    if cfg.MODEL.FPN.OUT_CHANNELS < 2:
        yield "MODEL.FPN.OUT_CHANNELS", "but the towers of the head need at least 2"


def _check_mask_rcnn(cfg: CfgNode) -> Iterator[Finding]:
    if cfg.MODEL.MASK_ON and cfg.MODEL.get("MASK_SUPERVISION", "mask") != "mask":
        yield (
            "MODEL.MASK_SUPERVISION",
            "but GeneralizedRCNN with MODEL.MASK_ON True trains each object from its mask: write mask, or "
            "MODEL.MASK_ON False for boxes alone",
        )


def _check_teacher(cfg: CfgNode) -> Iterator[Finding]:
    node = cfg.MODEL.DISTILL
    if not node.ENABLED:
        return
    if node.ALPHA + node.BETA > 1 + 1e-6:
        yield "MODEL.DISTILL.ALPHA", f"but together with MODEL.DISTILL.BETA {node.BETA} it must be at most 1"
    if node.TEACHER_MIN_SIZE > 0 and node.TEACHER_MAX_SIZE < node.TEACHER_MIN_SIZE:
        yield "MODEL.DISTILL.TEACHER_MAX_SIZE", f"but MODEL.DISTILL.TEACHER_MIN_SIZE is {node.TEACHER_MIN_SIZE}"


def _check_resnet(cfg: CfgNode) -> Iterator[Finding]:
    if cfg.MODEL.BACKBONE.NAME != "build_depthbox_resnet_fpn_backbone":
        return
    node, names = cfg.MODEL.RESNETS, list(cfg.MODEL.FPN.IN_FEATURES)
    missing = [name for name in names if name not in node.OUT_FEATURES]
    if missing:
        yield "MODEL.FPN.IN_FEATURES", f"but MODEL.RESNETS.OUT_FEATURES {node.OUT_FEATURES} lacks {missing[0]}"
    if not names or names != _STAGES[-len(names) :]:
        yield "MODEL.FPN.IN_FEATURES", "but the pyramid needs the last stages in order, ['res3', 'res4', 'res5']"
    if node.RES5_DILATION != 1:
        yield "MODEL.RESNETS.RES5_DILATION", "but the pyramid needs res5 at stride 32: write 1"
    if node.DEPTH < 50 and node.RES2_OUT_CHANNELS != 64:
        yield "MODEL.RESNETS.RES2_OUT_CHANNELS", f"but MODEL.RESNETS.DEPTH {node.DEPTH} needs 64"
    if node.DEPTH < 50 and node.NUM_GROUPS != 1:
        yield "MODEL.RESNETS.NUM_GROUPS", f"but MODEL.RESNETS.DEPTH {node.DEPTH} needs 1"
