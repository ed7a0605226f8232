"""Rules of the values of config keys: those of DepthBox, and those of Detectron2 that its networks and trainer read."""

from __future__ import annotations

from .rules import ValueRule, choice, items, number, text, whole

NORMS = ("", "BN", "SyncBN", "FrozenBN", "GN", "nnSyncBN", "naiveSyncBN")
_NEWER_NORMS = ("naiveSyncBN_N", "LN")  # that some versions of Detectron2 lack
_CHANNELS = whole(1, 2048)
_CONVOLUTIONS = whole(0, 64)
_ITERATIONS = whole(0, 10**9)
_SHARE = number(0, 1)
_FACTOR = number(0, 1e6)
_PIXELS = whole(1, 100_000)
_PIXELS_OR_ZERO = whole(0, 100_000)
_NORM = ValueRule(choice(*NORMS).words, choice(*NORMS, *_NEWER_NORMS).holds, NORMS)
_WORD = text("a name", empty=False)
_LEVELS = items(_WORD, 1, 16, test="distinct", plural="a list of different names of features, such as ['p3', 'p4']")
_NAMES = items(_WORD, plural="a list of names of datasets, such as ('coco_2017_val',)")
_PATH = text("a path without control characters")
_STAGE = choice("stem", "linear", "res2", "res3", "res4", "res5")
_FLAG = ValueRule("True or False", lambda value: isinstance(value, bool))
_DTYPES = ("float16", "bfloat16")
_EXPECTED = ValueRule(
    "a list of [task, metric, value, tolerance]",
    lambda value: (
        isinstance(value, (list, tuple))
        and all(isinstance(row, (list, tuple)) and len(row) == 4 for row in value)
        and all(_WORD.holds(word) for row in value for word in row[:2])
        and all(number(-1e6, 1e6).holds(figure) for row in value for figure in row[2:])
    ),
)
_COCO_STYLE = items(
    items(_PATH, 3, 5),
    plural="a list of [name, JSON file, image folder, depth folder or '', folder of class maps or ''], one per dataset",
)

_NETWORK = {
    "MODEL.DEVICE": ValueRule("cpu, cuda or cuda:N", lambda value: _is_device(value)),
    "MODEL.META_ARCHITECTURE": _WORD,
    "MODEL.WEIGHTS": _PATH,
    "MODEL.PIXEL_MEAN": items(number(-1e4, 1e4), 1, 64),
    "MODEL.PIXEL_STD": items(number(0, 1e4, above=True), 1, 64),
    "MODEL.MASK_SUPERVISION": choice("box", "mask", "mixed"),
    "MODEL.BACKBONE.NAME": _WORD,
    "MODEL.BACKBONE.FREEZE_AT": whole(-1, 5),
    "MODEL.FPN.IN_FEATURES": items(_WORD, 0, 16, test="distinct", plural=_LEVELS.words),
    "MODEL.FPN.OUT_CHANNELS": _CHANNELS,
    "MODEL.FPN.NORM": _NORM,
    "MODEL.FPN.FUSE_TYPE": choice("sum", "avg"),
    "MODEL.RESNETS.DEPTH": ValueRule("18, 34, 50, 101 or 152", lambda value: value in (18, 34, 50, 101, 152)),
    "MODEL.RESNETS.OUT_FEATURES": items(_STAGE, 1, 6, test="distinct"),
    "MODEL.RESNETS.NUM_GROUPS": whole(1, 1024),
    "MODEL.RESNETS.NORM": _NORM,
    "MODEL.RESNETS.WIDTH_PER_GROUP": whole(1, 1024),
    "MODEL.RESNETS.RES5_DILATION": whole(1, 2),
    "MODEL.RESNETS.RES2_OUT_CHANNELS": _CHANNELS,
    "MODEL.RESNETS.STEM_OUT_CHANNELS": _CHANNELS,
    "MODEL.RESNETS.DEFORM_ON_PER_STAGE": items(_FLAG, 4, 4),
    "MODEL.RESNETS.DEFORM_NUM_GROUPS": whole(1, 1024),
    "MODEL.TIMM.NAME": text("a name of a timm network", empty=False),
    "MODEL.TIMM.WEIGHTS": _PATH,
    "MODEL.TIMM.OUTPUT_NORM": choice("auto", "on", "off"),
    "MODEL.TIMM.FREEZE_STAGES": whole(0, 16),
    "MODEL.TIMM.FINEST_STRIDE": ValueRule("4 or 8", lambda value: value in (4, 8)),
}
_FCOS = {
    "NUM_CLASSES": whole(1, 50_000),
    "IN_FEATURES": _LEVELS,
    "FPN_STRIDES": items(whole(1, 1024), 1, 16, test="increasing"),
    "SIZES_OF_INTEREST": items(number(0, 1e6, above=True), 1, 15, test="increasing"),
    "NUM_SHARE_CONVS": _CONVOLUTIONS,
    "NUM_CLS_CONVS": _CONVOLUTIONS,
    "NUM_BOX_CONVS": _CONVOLUTIONS,
    "NORM": _NORM,
    "PRIOR_PROB": number(0, 1, above=True, below=True),
    "BOX_QUALITY": choice("centerness", "iou"),
    "POS_RADIUS": number(0, 100, above=True),
    "SAMPLE_CENTER": choice("box", "box_mass"),
    "LOC_LOSS_TYPE": choice("giou", "iou", "linear_iou"),
    "LOSS_ALPHA": _SHARE,
    "LOSS_GAMMA": number(0, 100),
    "LOSS_WEIGHT_CLS": _FACTOR,
    "INFERENCE_TH": _SHARE,
    "PRE_NMS_TOPK": whole(1, 10**6),
    "NMS_TH": _SHARE,
}
_MASKS = {
    "MODEL.CONDINST.MASK_OUT_STRIDE": whole(1, 64),
    "MODEL.CONDINST.QUERIES_PER_IMAGE": whole(1, 10_000),
    "MODEL.CONDINST.MASK_HEAD.CHANNELS": whole(1, 64),
    "MODEL.CONDINST.MASK_HEAD.NUM_LAYERS": whole(2, 16),
    "MODEL.CONDINST.MASK_BRANCH.IN_FEATURES": _LEVELS,
    "MODEL.CONDINST.MASK_BRANCH.CHANNELS": _CHANNELS,
    "MODEL.CONDINST.MASK_BRANCH.OUT_CHANNELS": whole(1, 256),
    "MODEL.CONDINST.MASK_BRANCH.NUM_CONVS": _CONVOLUTIONS,
    "MODEL.CONDINST.MASK_BRANCH.NORM": _NORM,
    "MODEL.BOXINST.BOTTOM_PIXELS_REMOVED": _PIXELS_OR_ZERO,
    "MODEL.BOXINST.PAIRWISE.SIZE": ValueRule("3 or 5", lambda value: value in (3, 5)),
    "MODEL.BOXINST.PAIRWISE.DILATION": whole(1, 64),
    "MODEL.BOXINST.PAIRWISE.COLOR_THRESH": _SHARE,
    "MODEL.BOXINST.PAIRWISE.WARMUP_ITERS": _ITERATIONS,
    "MODEL.DEPTH.LOSS_WEIGHT": _FACTOR,
    "MODEL.DEPTH.CONSISTENCY_WEIGHT": _FACTOR,
    "MODEL.DEPTH.THRESH": _SHARE,
    "MODEL.DEPTH.SCALE": number(0, 1e6, above=True),
    "MODEL.DEPTH.WARMUP_ITERS": _ITERATIONS,
    "MODEL.DISTILL.START_ITER": _ITERATIONS,
    "MODEL.DISTILL.EMA_MOMENTUM": _SHARE,
    "MODEL.DISTILL.TEACHER_MIN_SIZE": _PIXELS_OR_ZERO,
    "MODEL.DISTILL.TEACHER_MAX_SIZE": _PIXELS,
    "MODEL.DISTILL.CANDIDATES_PER_BOX": whole(1, 10_000),
    "MODEL.DISTILL.ALPHA": _SHARE,
    "MODEL.DISTILL.BETA": _SHARE,
    "MODEL.DISTILL.SCORE_THRESH": number(0, 1e6),
    "MODEL.DISTILL.LOSS_WEIGHT": _FACTOR,
}
_POINTS = {
    "NUM_CLASSES": whole(1, 253),
    "IN_FEATURES": _LEVELS,
    "HEAD_CHANNELS": _CHANNELS,
    "HEAD_STD": number(0, 10),
    "AFFINITY_CHANNELS": _CHANNELS,
    "AFFINITY_SCALE": number(0, 1e4, above=True),
    "AFFINITY_POWER": number(0, 100, above=True),
    "AFFINITY_ROWS": whole(1, 10**6),
    "INITIAL_PAIRS": choice("instances", "classes"),
    "BACKGROUND_PAIRS": choice("ignore", "negative"),
    "ONE_POINT_TARGET": choice("point", "centroid"),
    "MIN_AREA": whole(0, 10**6),
    "STAGES": whole(1, 16),
    "HARD_SHARE": number(0, 1, above=True),
    "SEG_WEIGHT": _FACTOR,
    "DIRECT_WEIGHT": _FACTOR,
    "OFFSET_WEIGHT": _FACTOR,
    "AFFINITY_WEIGHT": _FACTOR,
    "CENTER_WEIGHT": _FACTOR,
    "CENTER_SIGMA": number(0, 1000, above=True),
    "WEAK_SHARE": _SHARE,
    "FALLBACK_SIDE": _PIXELS_OR_ZERO,
    "SEMANTIC.SOURCE": choice("auto", "files", "threshold", "geodesic", "points"),
    "SEMANTIC.WARMUP_ITERS": _ITERATIONS,
    "SEMANTIC.SEED_RADIUS": whole(0, 1000),
    "SEMANTIC.CERTAIN": _SHARE,
    "SEMANTIC.SEED_WEIGHT": _FACTOR,
    "SEMANTIC.COLOR_WEIGHT": _FACTOR,
    "SEMANTIC.DEPTH_WEIGHT": _FACTOR,
}
_DATA = {
    "INPUT.MIN_SIZE_TRAIN": items(_PIXELS_OR_ZERO, 1, 1000),
    "INPUT.MIN_SIZE_TRAIN_SAMPLING": choice("choice", "range"),
    "INPUT.MAX_SIZE_TRAIN": _PIXELS,
    "INPUT.MIN_SIZE_TEST": _PIXELS_OR_ZERO,
    "INPUT.MAX_SIZE_TEST": _PIXELS,
    "INPUT.RANDOM_FLIP": choice("horizontal", "vertical", "none"),
    "INPUT.CROP.TYPE": choice("relative_range", "relative", "absolute", "absolute_range"),
    "INPUT.CROP.SIZE": items(number(0, 100_000, above=True), 2, 2),
    "INPUT.FORMAT": choice("BGR", "RGB"),
    "INPUT.OBJECT_WEIGHT": choice("", "score"),
    "INPUT.MASK_FORMAT": choice("polygon", "bitmask"),
    "DATASETS.TRAIN": _NAMES,
    "DATASETS.TEST": _NAMES,
    "DATASETS.PROPOSAL_FILES_TRAIN": items(_PATH),
    "DATASETS.PROPOSAL_FILES_TEST": items(_PATH),
    "DATASETS.COCO_STYLE": _COCO_STYLE,
    "DATALOADER.NUM_WORKERS": whole(0, 512),
    "DATALOADER.SAMPLER_TRAIN": _WORD,
    "DATALOADER.REPEAT_THRESHOLD": _FACTOR,
}
_TRAINING = {
    "SOLVER.LR_SCHEDULER_NAME": choice("WarmupMultiStepLR", "WarmupCosineLR", "WarmupPolyLR"),
    "SOLVER.MAX_ITER": _ITERATIONS,
    "SOLVER.BASE_LR": number(0, 1e38, above=True),
    "SOLVER.BASE_LR_END": number(0, 1e38),
    "SOLVER.MOMENTUM": number(0, 1, below=True),
    "SOLVER.WEIGHT_DECAY": _FACTOR,
    "SOLVER.WEIGHT_DECAY_NORM": _FACTOR,
    "SOLVER.WEIGHT_DECAY_BIAS": _FACTOR,
    "SOLVER.GAMMA": number(0, 1e4, above=True),
    "SOLVER.STEPS": items(_ITERATIONS, 0, 1000),
    "SOLVER.WARMUP_FACTOR": number(0, 1e4),
    "SOLVER.WARMUP_ITERS": _ITERATIONS,
    "SOLVER.WARMUP_METHOD": choice("linear", "constant"),
    "SOLVER.CHECKPOINT_PERIOD": _ITERATIONS,
    "SOLVER.IMS_PER_BATCH": whole(1, 100_000),
    "SOLVER.REFERENCE_WORLD_SIZE": whole(0, 100_000),
    "SOLVER.REFERENCE_BATCH_SIZE": whole(0, 100_000),
    "SOLVER.BIAS_LR_FACTOR": _FACTOR,
    "SOLVER.BACKBONE_MULTIPLIER": _FACTOR,
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": choice("value", "norm", "full_model"),
    "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": number(0, 1e9, above=True),
    "SOLVER.CLIP_GRADIENTS.NORM_TYPE": number(0, 1e4, above=True),
    "SOLVER.AMP.DTYPE": choice(*_DTYPES),
    "SOLVER.OPTIMIZER": choice("SGD", "ADAM", "ADAMW"),
    "SOLVER.POLY_POWER": number(0, 100, above=True),
    "SOLVER.ACCUMULATION_STEPS": whole(1, 100_000),
    "SOLVER.KEEP_CHECKPOINTS": whole(0, 10**6),
    "OUTPUT_DIR": text("the path of a folder", empty=False),
    "SEED": whole(-(2**31), 2**63 - 1),
    "VIS_PERIOD": _ITERATIONS,
    "WANDB.PROJECT": text("the name of a project"),
    "WANDB.NAME": text("the name of a run"),
    "WANDB.MODE": choice("online", "offline"),
}
_EVALUATION = {
    "TEST.EXPECTED_RESULTS": _EXPECTED,
    "TEST.EVAL_PERIOD": _ITERATIONS,
    "TEST.DETECTIONS_PER_IMAGE": whole(1, 100_000),
    "TEST.AUG.MIN_SIZES": items(_PIXELS),
    "TEST.AUG.MAX_SIZE": _PIXELS,
    "TEST.PRECISE_BN.NUM_ITER": _ITERATIONS,
    "TEST.EVALUATE": choice("student", "teacher", "both"),
    "TEST.BEST_METRIC": text("the name of a metric, such as segm/AP", empty=False),
    "TEST.EVALUATOR": choice("coco", "cityscapes", "voc_masks"),
    "TEST.AMP": choice("", *_DTYPES),
    "TEST.IMS_PER_BATCH": whole(1, 10_000),
    "TEST.MASK_FORMAT": choice("bitmask", "rle"),
}
RULES: dict[str, ValueRule] = {
    **_NETWORK,
    **{f"MODEL.FCOS.{key}": rule for key, rule in _FCOS.items()},
    **_MASKS,
    **{f"MODEL.P2SEG.{key}": rule for key, rule in _POINTS.items()},
    **_DATA,
    **_TRAINING,
    **_EVALUATION,
}
NULLABLE = ("SOLVER.WEIGHT_DECAY_BIAS",)  # None = SOLVER.WEIGHT_DECAY


def _is_device(value: object) -> bool:
    if not isinstance(value, str):
        return False
    kind, colon, index = value.partition(":")
    return kind in ("cpu", "cuda", "mps", "xpu", "meta") and (not colon or (index.isascii() and index.isdigit()))
