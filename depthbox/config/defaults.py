"""All config keys of DepthBox with their defaults and meanings."""

from __future__ import annotations

from detectron2.config import CfgNode as CN


def add_depthbox_config(cfg: CN) -> None:
    """Add the keys of DepthBox to a Detectron2 config, in place; other keys are not changed."""
    _add_fcos(cfg)
    _add_masks(cfg)
    _add_depth(cfg)
    _add_distillation(cfg)
    _add_points(cfg)
    _add_timm(cfg)
    _add_data(cfg)
    _add_solver(cfg)
    _add_monitoring(cfg)


def _add_fcos(cfg: CN) -> None:
    node = cfg.MODEL.FCOS = CN()
    node.NUM_CLASSES = 80
    node.IN_FEATURES = ["p3", "p4", "p5", "p6", "p7"]
    node.FPN_STRIDES = [8, 16, 32, 64, 128]
    # Upper bound of max(l, t, r, b) in pixels of each level except the last.
    node.SIZES_OF_INTEREST = [64, 128, 256, 512]
    node.NUM_SHARE_CONVS = 0
    node.NUM_CLS_CONVS = 4
    node.NUM_BOX_CONVS = 4
    node.NORM = "GN"  # of the towers: "GN", "" or a norm of Detectron2
    node.USE_SCALE = True  # learned factor of the box regression, per level
    node.PRIOR_PROB = 0.01
    node.BOX_QUALITY = "centerness"  # or "iou"
    node.CENTER_SAMPLE = True
    node.POS_RADIUS = 1.5  # half side of the center sampling square, in strides
    node.SAMPLE_CENTER = "box"  # or "box_mass": center of mass of the pixels covered by the box (published BoxInst)
    node.LOC_LOSS_TYPE = "giou"  # or "iou", "linear_iou"
    node.LOSS_ALPHA = 0.25
    node.LOSS_GAMMA = 2.0
    node.LOSS_WEIGHT_CLS = 1.0
    node.INFERENCE_TH = 0.05
    node.THRESH_WITH_CTR = True  # apply INFERENCE_TH to score times box quality, not to the score alone
    node.PRE_NMS_TOPK = 1000  # per level
    node.NMS_TH = 0.6


def _add_masks(cfg: CN) -> None:
    cfg.MODEL.CHANNELS_LAST = False  # memory format of the convolutions; faster on the CPU and with AMP
    cfg.MODEL.COMPILE = False  # torch.compile of backbone, towers and mask branch; the first step takes minutes
    cfg.MODEL.TRITON = True  # Triton kernels of mask head and mask losses on NVIDIA GPUs; same results
    cfg.MODEL.MASK_SUPERVISION = "box"  # or "mask" (CondInst), or "mixed": masks for the objects that have one
    node = cfg.MODEL.CONDINST = CN()
    node.MASK_OUT_STRIDE = 4  # input pixels per cell of the mask logits; divides 8
    node.QUERIES_PER_IMAGE = 64  # maximum number of trained masks per image
    node.MASK_HEAD = CN()
    node.MASK_HEAD.CHANNELS = 8
    node.MASK_HEAD.NUM_LAYERS = 3
    node.MASK_BRANCH = CN()
    node.MASK_BRANCH.IN_FEATURES = ["p3", "p4", "p5"]
    node.MASK_BRANCH.CHANNELS = 128
    node.MASK_BRANCH.OUT_CHANNELS = 16
    node.MASK_BRANCH.NUM_CONVS = 4
    node.MASK_BRANCH.NORM = "naiveSyncBN"  # statistics of the global batch, also on the CPU
    box = cfg.MODEL.BOXINST = CN()
    box.BOTTOM_PIXELS_REMOVED = 10  # rows at the bottom of the original image without color pairs
    box.PAIRWISE = CN()
    box.PAIRWISE.SIZE = 3
    box.PAIRWISE.DILATION = 2
    box.PAIRWISE.COLOR_THRESH = 0.3
    box.PAIRWISE.WARMUP_ITERS = 10000


def _add_depth(cfg: CN) -> None:
    node = cfg.MODEL.DEPTH = CN()  # its losses need INPUT.DEPTH.ENABLED True
    node.LAYER = False  # dynamic depth layer: the depth of each instance guides its mask (eq. 1)
    node.LOSS_WEIGHT = 1.0  # of the instance depth loss (eq. 2); with 0 the depth layer has no supervision
    node.CONSISTENCY = False  # depth consistency loss (eq. 4)
    node.CONSISTENCY_WEIGHT = 1.0
    node.THRESH = 0.5  # tau_d: pairs with S_d above it belong to one surface
    node.SCALE = 100.0  # kappa in S_d = exp(-kappa |depth difference|) (eq. 3), depth in [0, 1]
    node.WARMUP_ITERS = 10000  # of the depth consistency loss


def _add_distillation(cfg: CN) -> None:
    node = cfg.MODEL.DISTILL = CN()  # EMA teacher that generates pseudo masks from START_ITER on
    node.ENABLED = False
    node.START_ITER = 65000
    node.EMA_MOMENTUM = 0.999
    node.TEACHER_MIN_SIZE = 800  # short side of the teacher's image in pixels; 0 = same image as the student
    node.TEACHER_MAX_SIZE = 1333
    node.CANDIDATES_PER_BOX = 16  # candidate predictions per box: those of its class with the highest IoU
    node.ALPHA = 0.8  # weight of the box IoU in the matching score (eq. 9)
    node.BETA = 0.2  # weight of the depth consistency score; 1 - ALPHA - BETA is that of the prediction score
    node.SCORE_THRESH = 0.8  # tau_m: masks with a lower matching score are not used
    node.LOSS_WEIGHT = 4.0  # gamma, weight of the dice loss with the pseudo masks
    node.SOFT_MASKS = False  # not in the paper: probabilities as labels instead of masks binarized at 0.5
    node.CERTAINTY_WEIGHT = False  # not in the paper: weight each label by the teacher's mean certainty in the mask
    node.STRONG_AUGMENTATION = False  # not in the paper: color distortion of the student's image
    cfg.TEST.EVALUATE = "student"  # or "teacher", "both"


def _add_points(cfg: CN) -> None:
    node = cfg.MODEL.P2SEG = CN()  # read by the meta-architecture "P2Seg": masks from one point per object
    node.NUM_CLASSES = 80
    node.IN_FEATURES = ["p2", "p3", "p4", "p5"]  # summed at the stride of the first, 4; HRNet: ["res2"]
    node.HEAD_CHANNELS = 256  # of the class and offset heads
    # Standard deviation of the initial weights of the heads; 0 = the default of torch, which learns faster.
    node.HEAD_STD = 0.001
    node.AFFINITY_CHANNELS = 256  # features per cell of the affinity head
    node.AFFINITY_SCALE = 1.0  # factor of the product of two cells' features before the sigmoid
    # beta, exponent of the affinity in the propagation; with 1 the many cells of low affinity outweigh a small object.
    node.AFFINITY_POWER = 1.0
    node.AFFINITY_ROWS = 512  # cells per block of the affinity matrix; changes memory and time only
    node.S2I = True  # refine the owners of pixels by the predicted offsets
    node.I2S = True  # propagate the class map by the affinity, and train the affinity
    node.INITIAL_PAIRS = "instances"  # or "classes" (released code): segments of the first pair labels
    node.BACKGROUND_PAIRS = "ignore"  # or "negative" (released code): pairs of two background cells
    node.ONE_POINT_TARGET = "point"  # or "centroid" (released code): aim of a component with one point
    node.MIN_AREA = 50  # pixels; smaller components of the class map give no first label
    node.STAGES = 1  # a further stage takes the class map of the stage before
    node.HARD_SHARE = 0.2  # share of the pixels of the batch, those of the highest loss, in the class loss
    node.SEG_WEIGHT = 1.0
    node.DIRECT_WEIGHT = 0.0  # not in the paper: of the cross entropy of the class map before its propagation
    node.OFFSET_WEIGHT = 0.01
    node.AFFINITY_WEIGHT = 1.0
    node.CENTER_WEIGHT = 0.0  # above 0 adds the center head; 200 in the kin method without points
    node.CENTER_SIGMA = 6.0  # pixels, standard deviation of the bump at each point
    node.FALLBACK_SIDE = 0  # pixels, side of the square of a point without a mask; 0 = 64 (the released code)
    # Not in the paper: an object without a pixel gets those above this share of the probability at its point; 0 = off
    node.WEAK_SHARE = 0.5
    node.KEEP_NEAR = True  # keep the component of the point and those nearer than their diameter; False: all
    map_node = node.SEMANTIC = CN()  # class map: class of each pixel, from which the method starts
    # "auto" = "files" if DATASETS.COCO_STYLE names class maps, else the rule that fits the images; "points" = learned.
    map_node.SOURCE = "auto"  # or "files", "threshold", "geodesic", "points"
    map_node.WARMUP_ITERS = 300  # "points": iterations before the EMA teacher gives the class map
    map_node.SEED_RADIUS = 2  # pixels around a point that have its class
    map_node.CERTAIN = 0.7  # "points": pixels of a lower probability are unknown
    map_node.DEPTH = False  # use depth gradients (geodesic) and similar depth (points); needs INPUT.DEPTH.ENABLED
    map_node.SEED_WEIGHT = 1.0  # "points": weight of the cross entropy at the seeds
    map_node.COLOR_WEIGHT = 1.0  # "points": weight of the loss of pixel pairs with similar color
    map_node.DEPTH_WEIGHT = 1.0  # "points" with DEPTH: weight of the loss of pixel pairs with similar depth


def _add_timm(cfg: CN) -> None:
    cfg.MODEL.FPN.TOP_LEVELS = True  # add p6 and p7, computed from p5
    node = cfg.MODEL.TIMM = CN()  # used by the backbones "build_timm_fpn_backbone" and "build_timm_hrnet_backbone"
    node.NAME = "mobilenetv2_100"
    node.PRETRAINED = False  # download the weights of timm
    # Local state dict (environment variables are expanded), or package:NAME, an installed package with weights.
    node.WEIGHTS = ""
    node.OPTIONS = []  # further arguments of timm.create_model, as KEY, VALUE, KEY, VALUE...
    node.FINEST_STRIDE = 8  # or 4: one more level of the pyramid, p2
    node.OUTPUT_NORM = "auto"  # layer norm of each output: "auto" (only Swin), "on" or "off"
    node.FREEZE_NORM = False  # replace batch norm by a fixed scale and shift
    node.FREEZE_STAGES = 0  # freeze the modules up to and including this number of strides of 2


def _add_data(cfg: CN) -> None:
    cfg.INPUT.DEPTH = CN()
    cfg.INPUT.DEPTH.ENABLED = False  # load pseudo depth in training
    # Weight of each object's mask in the mask losses of MASK_SUPERVISION "mask" and "mixed": "" (1), or "score": the
    # score that `depthbox label` wrote, and 0 for a fallback square, of which only box and class are trained.
    cfg.INPUT.OBJECT_WEIGHT = ""
    # COCO-style datasets to register: [name, JSON file, image folder, depth folder or "", folder of class maps or ""];
    # the last two may be missing; variables are expanded.
    cfg.DATASETS.COCO_STYLE = []


def _add_solver(cfg: CN) -> None:
    cfg.SOLVER.OPTIMIZER = "SGD"  # or "ADAM", "ADAMW"
    cfg.SOLVER.POLY_POWER = 0.9  # exponent of the schedule "WarmupPolyLR", (1 - iteration / MAX_ITER) ** power
    cfg.SOLVER.ACCUMULATION_STEPS = 1  # number of micro-batches that IMS_PER_BATCH is divided into
    cfg.SOLVER.REFERENCE_BATCH_SIZE = 0  # batch size of the schedule, rescaled to IMS_PER_BATCH; 0 = no rescaling
    cfg.SOLVER.KEEP_CHECKPOINTS = 3  # number of the newest checkpoints that are kept; 0 = all
    cfg.SOLVER.BACKBONE_MULTIPLIER = 1.0  # on the learning rate of the backbone
    if "DTYPE" not in cfg.SOLVER.AMP:
        cfg.SOLVER.AMP.DTYPE = "float16"  # or "bfloat16"
    cfg.TEST.BEST_METRIC = "segm/AP"  # selects model_best.pth; if it is not computed, "bbox/AP" or "segm/mAP50" is used
    # Or "cityscapes": mask AP of the official tool (docs/cityscapes.md); "voc_masks": mask AP of VOC (docs/voc.md).
    cfg.TEST.EVALUATOR = "coco"
    cfg.TEST.AMP = ""  # or "float16", "bfloat16": autocast in evaluation (SOLVER.AMP: in training)
    cfg.TEST.IMS_PER_BATCH = 1  # larger is faster on a GPU; padding changes results slightly
    # Of the predictions: "bitmask" (pred_masks, bool) or "rle" (pred_masks_rle, the same masks in less memory).
    cfg.TEST.MASK_FORMAT = "bitmask"
    cfg.TEST.FILLED_BOX_AP = False  # also evaluate the filled boxes of the masks, the baseline of mask AP
    cfg.TEST.EVAL_FAST = True  # use faster-coco-eval instead of pycocotools


def _add_monitoring(cfg: CN) -> None:
    # VIS_PERIOD (of Detectron2): iterations between images of the batch in TensorBoard; 0 = none.
    node = cfg.WANDB = CN()
    node.ENABLED = False  # also log to Weights & Biases (extra "wandb")
    node.PROJECT = "depthbox"
    node.NAME = ""  # name of the run; "" = last part of OUTPUT_DIR
    node.MODE = "online"  # or "offline": into OUTPUT_DIR/wandb, for `wandb sync`
    cfg.REPORT = CN()
    cfg.REPORT.ENABLED = True  # write OUTPUT_DIR/report.html at the end of a training run
