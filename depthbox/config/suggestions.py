"""Unknown keys: similar keys that the network and the trainer of the config read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# Detectron2's keys that DepthBox does not read: those of other heads, of proposals and of unused features.
_OTHERS = (
    "MODEL.LOAD_PROPOSALS",
    "MODEL.KEYPOINT_ON",
    "MODEL.PROPOSAL_GENERATOR",
    "MODEL.ANCHOR_GENERATOR",
    "MODEL.RPN",
    "MODEL.ROI_",
    "MODEL.SEM_SEG_HEAD",
    "MODEL.PANOPTIC_FPN",
    "MODEL.RETINANET",
    "DATASETS.PROPOSAL_FILES",
    "DATASETS.PRECOMPUTED_PROPOSAL",
    "DATALOADER.SAMPLER_TRAIN",
    "DATALOADER.REPEAT_THRESHOLD",
    "SOLVER.REFERENCE_WORLD_SIZE",
    "TEST.KEYPOINT_OKS_SIGMAS",
    "TEST.AUG",
    "TEST.PRECISE_BN",
    "GLOBAL",
)
_BACKBONES = {"timm": ("MODEL.RESNETS", "MODEL.BACKBONE.FREEZE_AT", "MODEL.FPN.IN_FEATURES"), "resnet": ("MODEL.TIMM",)}
_FOREIGN_NETWORKS = ("GeneralizedRCNN", "ProposalNetwork", "RetinaNet", "PanopticFPN", "SemanticSegmentor")
_MAX_KEY = 100  # characters that are compared


def list_read_keys(known: Iterable[str], network: str, backbone: str) -> list[str]:
    """Return the keys that a network with a backbone and the trainer read.

    Args:
        known: all keys.
        network: MODEL.META_ARCHITECTURE, "" if the config does not set it. All keys are returned for networks of
            Detectron2.
        backbone: MODEL.BACKBONE.NAME, or "".
    """
    if network in _FOREIGN_NETWORKS:
        return sorted(known)
    others = [*_OTHERS, *(prefix for name, keys in _BACKBONES.items() if name in backbone for prefix in keys)]
    return sorted(key for key in known if not key.startswith(tuple(others)))


def format_unknown(key: str, read: list[str], source: str) -> str:
    """Return the message of an unknown key, with up to five similar ones.

    Args:
        key: dotted name.
        read: see ``list_read_keys``.
        source: the file, or "the command line".
    """
    shown = key if len(key) <= _MAX_KEY else f"{key[:_MAX_KEY]}..."
    similar = difflib.get_close_matches(key[:_MAX_KEY], read, n=3, cutoff=0.6)
    last = key.rpartition(".")[2]
    similar += [other for other in read if other.rpartition(".")[2] == last and other not in similar][:2]
    hint = f"; did you mean {' or '.join(similar)}?" if similar else "; correct or remove it (docs/config.md)"
    return f"{source} sets the unknown key {shown}{hint}"
