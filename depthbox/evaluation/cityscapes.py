"""Cityscapes' own mask AP, computed by the official package ``cityscapesscripts``."""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import logging
import os
import shutil
import tempfile
import types
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import Instances
from detectron2.utils import comm
from detectron2.utils.logger import create_small_table
from PIL import Image

from ..data.cityscapes.frames import truth_file
from ..data.cityscapes.instances import CLASSES
from ..io.files import atomic_open

_MODULE = "cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling"


class CityscapesEvaluator(DatasetEvaluator):
    """Mask AP and AP50 as in Cityscapes' benchmark, in percent, over all ranks.

    The ground truth is the instanceIds PNG of each image, found from the image's path, not the json: objects
    below 100 pixels, groups and void are ignored as the official tool does. A value is NaN where there is no
    object to find. Each rank writes, reads and matches the predictions of its own images, so nothing but small
    tables travels between ranks.
    """

    def __init__(self, dataset_name: str, output_dir: str | os.PathLike[str] | None = None) -> None:
        """
        Args:
            dataset_name: a registered data set whose images lie in Cityscapes' official folders, and whose classes
                are Cityscapes' names, in any order.
            output_dir: folder for the predictions in the official format (a .txt an image, masks as .png); None =
                they are deleted as soon as they are matched.

        Raises:
            ImportError: cityscapesscripts is not installed.
            ValueError: other classes, or images outside of the official folders.
            FileNotFoundError: instanceIds files are missing.
        """
        self._tool = _official_tool()
        self._name = dataset_name
        self._output_dir = None if output_dir is None else Path(output_dir)
        self._truth = _truth_files(dataset_name)
        self._label_ids = _label_ids(dataset_name)
        self._logger = logging.getLogger(__name__)
        self.reset()

    def reset(self) -> None:
        """Forget all predictions."""
        self._matches: dict[str, Any] = {}

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]) -> None:
        """Write predictions in the official format and match them with the ground truth.

        Args:
            inputs: dicts with ``file_name``, as the data set has it.
            outputs: dicts with ``instances``: scores, pred_classes, pred_masks (N, H, W) bool at the original
                image's size.

        Raises:
            ValueError: an image or class that the data set does not have, no masks, or masks of another size.
            TypeError: masks that are not bool.
        """
        for image, output in zip(inputs, outputs, strict=True):
            file_name = os.fspath(image["file_name"])
            if file_name not in self._truth:
                raise ValueError(f"the image {file_name} is not in the data set '{self._name}'")
            instances = output["instances"].to("cpu")
            self._check(file_name, instances)
            self._matches[file_name] = self._match(file_name, instances)

    def evaluate(self) -> OrderedDict[str, dict[str, float]]:
        """Gather the matches of all ranks and compute AP; images without prediction count as missed.

        Returns:
            On the main rank ``{"segm": {"AP", "AP50", "AP-<class>", "AP50-<class>"}}`` in percent; on other ranks
            nothing.
        """
        gathered = comm.gather(self._matches, dst=0)
        if not comm.is_main_process():
            return OrderedDict()
        matches = {file_name: match for part in gathered for file_name, match in part.items()}
        missing = [file_name for file_name in self._truth if file_name not in matches]
        if missing:
            count = len(matches), len(self._truth), self._name
            self._logger.warning("Only %d of %d images of %s were predicted; the rest count as missed.", *count)
        matches |= {file_name: self._match(file_name, None) for file_name in missing}
        values = self._average_precision({name: matches[name] for name in self._truth})
        headline = {key: values[key] for key in ("AP", "AP50")}
        self._logger.info("Cityscapes' segm of %s:\n%s", self._name, create_small_table(headline))
        return OrderedDict(segm=values)

    def _check(self, file_name: str, instances: Instances) -> None:
        classes = instances.pred_classes.tolist()
        if classes and max(classes) >= len(self._label_ids):
            raise ValueError(
                f"{file_name}: predicted class {max(classes)}, but the data set has {len(self._label_ids)} classes; "
                "MODEL.FCOS.NUM_CLASSES and the data set do not fit together"
            )
        if not classes:
            return
        if not instances.has("pred_masks"):
            raise ValueError(f"{file_name}: the predictions have no masks, and Cityscapes evaluates nothing else")
        masks = instances.pred_masks
        if str(masks.dtype) != "torch.bool":
            raise TypeError(f"pred_masks are bool (after the threshold), not {masks.dtype}")
        with Image.open(self._truth[file_name]) as truth:
            size = (truth.height, truth.width)
        if tuple(masks.shape[1:]) != size:
            raise ValueError(
                f"{file_name}: masks of {tuple(masks.shape[1:])} (height, width), but {self._truth[file_name]} has "
                f"{size}; predict at the size of the original image"
            )

    def _match(self, file_name: str, instances: Instances | None) -> Any:
        """The official tool's match of one image; None stands for no prediction."""
        with self._folder() as folder:
            text = _write_predictions(folder, Path(file_name).stem, instances, self._label_ids)
            truth = self._truth[file_name]
            args = self._arguments(predictionPath=os.path.abspath(folder))
            with _quiet():
                objects = self._tool.instances2dict([truth])
                matches = self._tool.matchGtWithPreds([str(text)], [truth], objects, args)
        return matches[os.path.abspath(truth)]

    @contextlib.contextmanager
    def _folder(self) -> Iterator[Path]:
        if self._output_dir is not None:
            yield self._output_dir
            return
        with tempfile.TemporaryDirectory(prefix="cityscapes_eval_") as folder:
            yield Path(folder)

    def _average_precision(self, matches: dict[str, Any]) -> dict[str, float]:
        args = self._arguments()
        aps = np.zeros((1, len(args.instLabels), len(args.overlaps)))
        for label, name in enumerate(args.instLabels):
            for overlap, threshold in enumerate(args.overlaps):
                one = self._arguments(instLabels=[name], overlaps=np.array([threshold]))
                try:
                    aps[0, label, overlap] = self._tool.evaluateMatches(matches, one)[0, 0, 0]
                except IndexError:
                    # The tool stops at a class with objects of which all are missed and all predictions ignored
                    # (cityscapesScripts, issue 89). Nothing is found there.
                    aps[0, label, overlap] = 0
        with warnings.catch_warnings():  # means of no class are NaN, as they should be
            warnings.simplefilter("ignore", RuntimeWarning)
            averages = self._tool.computeAverages(aps, args)
        values = {"AP": averages["allAp"], "AP50": averages["allAp50%"]}
        classes = averages["classes"]
        values |= {f"AP-{name}": classes[name]["ap"] for name in args.instLabels}
        values |= {f"AP50-{name}": classes[name]["ap50%"] for name in args.instLabels}
        return {key: 100 * float(value) for key, value in values.items()}

    def _arguments(self, **changes: Any) -> Any:
        """The tool's own settings, copied, so that its module stays as it is."""
        args = copy.deepcopy(self._tool.args)
        args.quiet, args.distanceAvailable = True, False
        self._tool.setInstanceLabels(args)
        vars(args).update(changes)
        return args


def _official_tool() -> Any:
    try:
        tool: Any = importlib.import_module(_MODULE)
    except ImportError as error:
        raise ImportError(
            f"Cityscapes' AP is computed by the package cityscapesscripts ({error}): pip install depthbox[cityscapes], "
            "or evaluate with COCO's measure, TEST.EVALUATOR coco"
        ) from error
    if not hasattr(tool.np, "in1d"):
        # numpy 2.4 removed in1d, which version 2.3.0 of the package calls; only the module's own "np" is replaced.
        tool.np = types.SimpleNamespace(**vars(np), in1d=np.isin)
    return tool


def _truth_files(dataset_name: str) -> dict[str, str]:
    """Image -> its instanceIds file, in the data set's order."""
    files = {record["file_name"]: truth_file(record["file_name"]) for record in DatasetCatalog.get(dataset_name)}
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"data set '{dataset_name}': {len(missing)} of {len(files)} instanceIds files are missing, {missing[0]} "
            "first. Unpack gtFine_trainvaltest.zip, which holds them, or evaluate with COCO's measure, TEST.EVALUATOR "
            "coco"
        )
    return {file_name: str(path) for file_name, path in files.items()}


def _label_ids(dataset_name: str) -> list[int]:
    """Cityscapes' label id of each class of the data set."""
    names = list(MetadataCatalog.get(dataset_name).get("thing_classes") or ())
    known = {name: label for label, name in CLASSES.items()}
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(
            f"data set '{dataset_name}' has the classes {names}, but Cityscapes evaluates {list(known)}; make its json "
            "with tools/convert_cityscapes.py"
        )
    return [known[name] for name in names]


def _write_predictions(folder: Path, frame: str, instances: Instances | None, label_ids: Sequence[int]) -> Path:
    """Write {frame}.txt and its masks, in place of those of an earlier evaluation; returns the text file."""
    lines = []
    masks = folder / f"{frame}_masks"
    shutil.rmtree(masks, ignore_errors=True)
    if instances is not None and len(instances):
        masks.mkdir(parents=True)
        rows = zip(
            instances.pred_masks.numpy(), instances.pred_classes.tolist(), instances.scores.tolist(), strict=True
        )
        for number, (mask, label, score) in enumerate(rows):
            path = masks / f"{number:03d}.png"
            Image.fromarray(mask).save(path, compress_level=1)
            lines.append(f"{masks.name}/{path.name} {label_ids[label]} {score!r}\n")
    with atomic_open(folder / f"{frame}.txt") as file:
        file.write("".join(lines).encode())
    return folder / f"{frame}.txt"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the tool from printing; it ends the whole program on an error, which becomes an exception here."""
    text = io.StringIO()
    try:
        with contextlib.redirect_stdout(text):
            yield
    except SystemExit as error:
        raise RuntimeError(f"cityscapesscripts stopped: {text.getvalue().strip()}") from error
