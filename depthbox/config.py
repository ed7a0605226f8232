"""Every configuration key of DepthBox, its default and its meaning."""

from __future__ import annotations

from detectron2.config import CfgNode as CN


def add_depthbox_config(cfg: CN) -> None:
    """Add the keys of DepthBox to a Detectron2 config, in place (nothing else is changed)."""
    _add_fcos(cfg)
    _add_masks(cfg)
    _add_timm(cfg)
    _add_data(cfg)
    _add_solver(cfg)


def _add_fcos(cfg: CN) -> None:
    node = cfg.MODEL.FCOS = CN()
    node.NUM_CLASSES = 80
    node.IN_FEATURES = ["p3", "p4", "p5", "p6", "p7"]
    node.FPN_STRIDES = [8, 16, 32, 64, 128]
    # Largest side (max of l, t, r, b; pixels) that each level but the last is responsible for.
    node.SIZES_OF_INTEREST = [64, 128, 256, 512]
    node.NUM_SHARE_CONVS = 0
    node.NUM_CLS_CONVS = 4
    node.NUM_BOX_CONVS = 4
    node.NORM = "GN"  # of the towers: "GN", "" or any of Detectron2's
    node.USE_SCALE = True  # a learned factor per level on the box regression
    node.PRIOR_PROB = 0.01
    node.BOX_QUALITY = "centerness"  # or "iou"
    node.CENTER_SAMPLE = True
    node.POS_RADIUS = 1.5  # half side of the sampling square, in strides
    node.SAMPLE_CENTER = "box"  # or "box_mass": centre of the pixels covered by the box (published BoxInst)
    node.LOC_LOSS_TYPE = "giou"  # or "iou", "linear_iou"
    node.LOSS_ALPHA = 0.25
    node.LOSS_GAMMA = 2.0
    node.LOSS_WEIGHT_CLS = 1.0
    node.INFERENCE_TH = 0.05
    node.THRESH_WITH_CTR = True  # multiply by the box quality before the threshold, not after
    node.PRE_NMS_TOPK = 1000  # per level
    node.NMS_TH = 0.6


def _add_masks(cfg: CN) -> None:
    cfg.MODEL.CHANNELS_LAST = False  # memory layout of the convolutions; faster on CPU and under AMP
    cfg.MODEL.MASK_SUPERVISION = "box"  # "box" (BoxInst), "mask" (CondInst) or "mixed" (masks where there are any)
    node = cfg.MODEL.CONDINST = CN()
    node.MASK_OUT_STRIDE = 4  # input pixels per cell of the mask logits; divides 8
    node.QUERIES_PER_IMAGE = 64  # hard cap on the masks that are trained per image
    node.MASK_HEAD = CN()
    node.MASK_HEAD.CHANNELS = 8
    node.MASK_HEAD.NUM_LAYERS = 3
    node.MASK_BRANCH = CN()
    node.MASK_BRANCH.IN_FEATURES = ["p3", "p4", "p5"]
    node.MASK_BRANCH.CHANNELS = 128
    node.MASK_BRANCH.OUT_CHANNELS = 16
    node.MASK_BRANCH.NUM_CONVS = 4
    node.MASK_BRANCH.NORM = "naiveSyncBN"  # statistics of the whole batch, on CPU too
    box = cfg.MODEL.BOXINST = CN()
    box.BOTTOM_PIXELS_REMOVED = 10  # rows at the bottom of the original image that are no neighbours
    box.PAIRWISE = CN()
    box.PAIRWISE.SIZE = 3
    box.PAIRWISE.DILATION = 2
    box.PAIRWISE.COLOR_THRESH = 0.3
    box.PAIRWISE.WARMUP_ITERS = 10000


def _add_timm(cfg: CN) -> None:
    node = cfg.MODEL.TIMM = CN()  # read by the backbone "build_timm_fpn_backbone"
    node.NAME = "mobilenetv2_100"
    node.PRETRAINED = False  # let timm download its weights
    node.WEIGHTS = ""  # a local state dict; environment variables are expanded
    node.OPTIONS = []  # more arguments of timm.create_model, as KEY, VALUE, KEY, VALUE...
    node.FREEZE_NORM = False  # turn batch norm into fixed scale and shift
    node.FREEZE_STAGES = 0  # freeze the modules up to and including this many strides of 2


def _add_data(cfg: CN) -> None:
    cfg.INPUT.DEPTH = CN()
    cfg.INPUT.DEPTH.ENABLED = False  # read pseudo depth in training
    # COCO-style data sets to register: [name, json file, image folder, depth folder or ""]; variables are expanded.
    cfg.DATASETS.COCO_STYLE = []


def _add_solver(cfg: CN) -> None:
    cfg.SOLVER.OPTIMIZER = "SGD"  # or "ADAMW"
    cfg.SOLVER.ACCUMULATION_STEPS = 1  # IMS_PER_BATCH is computed in so many parts
    cfg.SOLVER.REFERENCE_BATCH_SIZE = 0  # batch that the schedule was written for; 0 = never scale
    cfg.SOLVER.KEEP_CHECKPOINTS = 3
    cfg.SOLVER.BACKBONE_MULTIPLIER = 1.0
    if "DTYPE" not in cfg.SOLVER.AMP:
        cfg.SOLVER.AMP.DTYPE = "float16"  # or "bfloat16"
    cfg.TEST.BEST_METRIC = "segm/AP"  # "bbox/AP" is used where there are no true masks
    cfg.TEST.FILLED_BOX_AP = False  # also score the masks' filled boxes: what masks must beat
    cfg.TEST.EVAL_FAST = True  # faster-coco-eval; else pycocotools
