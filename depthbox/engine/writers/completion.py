"""Start and end of a training run: free space, whether all is done, and where a stopped run continues."""

from __future__ import annotations

import logging
import signal
from collections import OrderedDict
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.utils import comm
from torch import nn

from ...checkpoint.evaluations import read_evaluation
from ...checkpoint.store import CheckpointStore
from ...distillation import has_teacher
from ...errors import Stopped
from ...io.write_errors import describe_shortage
from .json_lines import find_last_iteration

_MOMENTA = {"SGD": 1}  # tensors per weight of an optimizer; 2 for Adam and its relatives


def find_results(store: CheckpointStore, max_iter: int, subject: str) -> tuple[bool, OrderedDict[str, Any]]:
    """Find out whether a resumed training run has nothing left to do; call it on all processes.

    Args:
        store: checkpoints of the run, the last of which is that of ``max_iter``.
        max_iter: number of iterations.
        subject: evaluation that follows the last iteration, see ``evaluation.describe_evaluation``; "" = none.

    Returns:
        Whether all is done, and the results of the last evaluation, on the main process.
    """
    complete = comm.all_gather(_is_complete(store, max_iter, subject))[0]
    if not complete or not comm.is_main_process():
        return complete, OrderedDict()
    logging.getLogger(__name__).info(
        "The training run in %s is finished: all %d iterations are done.", store.folder, max_iter
    )
    return True, OrderedDict(read_evaluation(store.folder)[1])


def _is_complete(store: CheckpointStore, max_iter: int, subject: str) -> bool:
    last = find_last_iteration(store.folder / "metrics.json")  # written after all other metrics
    if not subject:
        return last >= max_iter - 1
    iterations, results = read_evaluation(store.folder, subject)
    return iterations >= max_iter and last >= (max_iter if results else max_iter - 1)


def describe_stop(stop: KeyboardInterrupt, done: int, max_iter: int, checkpoint: Path | None, saved: int) -> Stopped:
    """Return the exception that ends a stopped run, with a message that says where it continues.

    Args:
        stop: the exception of the signal; a KeyboardInterrupt without a number is that of SIGINT.
        done: iterations that are done.
        max_iter: number of iterations.
        checkpoint: the newest one; None = there is none.
        saved: iterations done at that checkpoint.
    """
    number = stop.number if isinstance(stop, Stopped) else int(signal.SIGINT)
    name = signal.Signals(number).name
    if checkpoint is None:
        return Stopped(number, f"stopped by {name} before the first checkpoint; the same command starts again")
    age = "" if saved == done else f" of iteration {saved}"
    return Stopped(
        number,
        f"stopped by {name} after iteration {done} of {max_iter}; checkpoint {checkpoint}{age}; the same command with "
        "--resume continues",
    )


def estimate_checkpoints(cfg: CfgNode, network: nn.Module) -> int:
    """Estimate the bytes that the checkpoints of a run take at most.

    Each holds the weights, the momenta of the optimizer and, with self-distillation, the teacher. The kept ones, the
    final one and one that is being written exist at the same time, besides the best weights.

    Args:
        cfg: SOLVER, MODEL.DISTILL and DATASETS.TEST.
        network: the network.
    """
    weights = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    trained = sum(p.numel() * p.element_size() for p in network.parameters() if p.requires_grad)
    momenta = trained * _MOMENTA.get(cfg.SOLVER.get("OPTIMIZER", "SGD").upper(), 2)
    one = weights * (2 if has_teacher(cfg) else 1) + momenta
    period, keep = cfg.SOLVER.CHECKPOINT_PERIOD, cfg.SOLVER.KEEP_CHECKPOINTS
    periodic = cfg.SOLVER.MAX_ITER // period if period > 0 else 0
    return one * ((min(periodic, keep) if keep > 0 else periodic) + 2) + (weights if cfg.DATASETS.TEST else 0)


def warn_of_full_disk(cfg: CfgNode, network: nn.Module) -> None:
    """Log a warning if the checkpoints of a run will probably not fit on the disk."""
    folder = Path(cfg.OUTPUT_DIR)
    existing = sum(path.stat().st_size for path in folder.glob("model_*.pth"))
    shortage = describe_shortage(folder, estimate_checkpoints(cfg, network) - existing)
    if shortage:
        logging.getLogger(__name__).warning("%s (fewer checkpoints: SOLVER.KEEP_CHECKPOINTS)", shortage)
