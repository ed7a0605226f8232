"""Every configuration key of DepthBox, its default and its meaning."""

from __future__ import annotations

from detectron2.config import CfgNode as CN


def add_depthbox_config(cfg: CN) -> None:
    """Add the keys of DepthBox to a Detectron2 config, in place (nothing else is changed)."""
    _add_fcos(cfg)
    _add_masks(cfg)
    _add_depth(cfg)
    _add_distillation(cfg)
    _add_timm(cfg)
    _add_data(cfg)
    _add_solver(cfg)
    _add_following(cfg)


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
    cfg.MODEL.COMPILE = False  # torch.compile of backbone, towers and mask branch; minutes at the first step
    cfg.MODEL.TRITON = True  # Triton kernels of mask head and mask losses where they run (NVIDIA); results are equal
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


def _add_depth(cfg: CN) -> None:
    node = cfg.MODEL.DEPTH = CN()  # the losses read pseudo depth: they need INPUT.DEPTH.ENABLED True
    node.LAYER = False  # the dynamic depth layer: each instance's depth guides its mask (eq. 1)
    node.LOSS_WEIGHT = 1.0  # of the instance depth loss (eq. 2); 0 leaves the depth layer without supervision
    node.CONSISTENCY = False  # the depth consistency loss (eq. 4)
    node.CONSISTENCY_WEIGHT = 1.0
    node.THRESH = 0.5  # tau_d: pairs with S_d above it are of one surface
    node.SCALE = 100.0  # kappa in S_d = exp(-kappa |difference of depth|) (eq. 3), depth in [0, 1]
    node.WARMUP_ITERS = 10000  # of the depth consistency loss


def _add_distillation(cfg: CN) -> None:
    node = cfg.MODEL.DISTILL = CN()  # a teacher, the moving average of the network, labels masks from START_ITER on
    node.ENABLED = False
    node.START_ITER = 65000
    node.EMA_MOMENTUM = 0.999
    node.TEACHER_MIN_SIZE = 800  # short side of the teacher's view, pixels; 0 = the student's own view
    node.TEACHER_MAX_SIZE = 1333
    node.CANDIDATES_PER_BOX = 16  # predictions of each box's class that compete for it, by IoU
    node.ALPHA = 0.8  # weight of the boxes' IoU in the matching score (eq. 9)
    node.BETA = 0.2  # of the depth consistency score; the rest, 1 - ALPHA - BETA, is the prediction score's
    node.SCORE_THRESH = 0.8  # tau_m: masks that match worse are not used
    node.LOSS_WEIGHT = 4.0  # gamma, of the dice loss with the teacher's masks
    node.SOFT_MASKS = False  # beyond the paper: probabilities as labels, not masks cut at 0.5
    node.CERTAINTY_WEIGHT = False  # beyond the paper: weigh each label by the teacher's mean certainty in the mask
    node.STRONG_AUGMENTATION = False  # beyond the paper: colours of the student's view alone are distorted
    cfg.TEST.EVALUATE = "student"  # or "teacher", "both"


def _add_timm(cfg: CN) -> None:
    node = cfg.MODEL.TIMM = CN()  # read by the backbone "build_timm_fpn_backbone"
    node.NAME = "mobilenetv2_100"
    node.PRETRAINED = False  # let timm download its weights
    node.WEIGHTS = ""  # a local state dict, variables are expanded; or package:NAME, an installed package with one
    node.OPTIONS = []  # more arguments of timm.create_model, as KEY, VALUE, KEY, VALUE...
    node.OUTPUT_NORM = "auto"  # a layer norm on each output: "auto" (Swin only), "on" or "off"
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
    cfg.TEST.EVALUATOR = "coco"  # or "cityscapes": mask AP by the official tool (docs/cityscapes.md)
    cfg.TEST.AMP = ""  # or "float16", "bfloat16": autocast in evaluation; SOLVER.AMP is that of training
    cfg.TEST.IMS_PER_BATCH = 1  # more go through the network faster on a GPU; padding moves results a little
    # Of what the network gives: "bitmask" (pred_masks, bool) or "rle" (pred_masks_rle: the same in little memory).
    cfg.TEST.MASK_FORMAT = "bitmask"
    cfg.TEST.FILLED_BOX_AP = False  # also score the masks' filled boxes: what masks must beat
    cfg.TEST.EVAL_FAST = True  # faster-coco-eval; else pycocotools


def _add_following(cfg: CN) -> None:
    # VIS_PERIOD (Detectron2's): iterations between pictures of the running batch in TensorBoard; 0 = none.
    node = cfg.WANDB = CN()
    node.ENABLED = False  # log to Weights & Biases too (extra "wandb")
    node.PROJECT = "depthbox"
    node.NAME = ""  # of the run; "" = the last part of OUTPUT_DIR
    node.MODE = "online"  # or "offline": into OUTPUT_DIR/wandb, to be sent later by `wandb sync`
    cfg.REPORT = CN()
    cfg.REPORT.ENABLED = True  # write OUTPUT_DIR/report.html when a training ends
