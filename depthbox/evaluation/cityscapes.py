"""Cityscapes mask AP, computed by the official package ``cityscapesscripts``."""

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

from ..data.cityscapes.frames import ground_truth_file
from ..data.cityscapes.instances import CLASSES
from ..io.files import atomic_open, explain_write_errors, make_folder
from ..io.untrusted.arrays import read_png_header

_MODULE = "cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling"


class CityscapesEvaluator(DatasetEvaluator):
    """Mask AP and AP50 as in the Cityscapes benchmark, in percent, over all ranks.

    The ground truth is the instanceIds PNG of each image, found from the image's path, not the JSON file. Objects
    below 100 pixels, groups and void are ignored, as the official tool does. A value is NaN if the ground truth has
    no object for it. Each rank writes, reads and matches the predictions of its own images, so ranks exchange only
    small tables.
    """

    def __init__(self, dataset_name: str, output_dir: str | os.PathLike[str] | None = None) -> None:
        """
        Args:
            dataset_name: registered dataset whose images lie in the official folders of Cityscapes, and whose
                classes have the names of Cityscapes, in any order.
            output_dir: folder for the predictions in the official format (one .txt per image, masks as .png);
                None = they are deleted as soon as they are matched.

        Raises:
            ImportError: cityscapesscripts is not installed.
            ValueError: other classes, or images outside the official folders.
            FileNotFoundError: instanceIds files are missing.
        """
        self._tool = _import_tool()
        self._name = dataset_name
        self._output_dir = None if output_dir is None else Path(output_dir)
        self._label_files = _find_label_files(dataset_name)
        self._label_ids = _find_label_ids(dataset_name)
        self._logger = logging.getLogger(__name__)
        self.reset()

    def reset(self) -> None:
        """Discard all predictions."""
        self._matches: dict[str, Any] = {}

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]) -> None:
        """Write predictions in the official format and match them with the ground truth.

        Args:
            inputs: dicts with ``file_name`` as in the dataset.
            outputs: dicts with ``instances``: scores, pred_classes, pred_masks (N, H, W) bool at the original
                image's size.

        Raises:
            ValueError: an image or class that the dataset does not have, no masks, or masks of another size.
            TypeError: masks that are not bool.
        """
        for image, output in zip(inputs, outputs, strict=True):
            file_name = os.fspath(image["file_name"])
            if file_name not in self._label_files:
                raise ValueError(f"the image {file_name} is not in the dataset '{self._name}'")
            instances = output["instances"].to("cpu")
            self._check(file_name, instances)
            self._matches[file_name] = self._match(file_name, instances)

    def evaluate(self) -> OrderedDict[str, dict[str, float]]:
        """Gather the matches of all ranks and compute AP; images without prediction count as missed.

        Returns:
            On the main rank ``{"segm": {"AP", "AP50", "AP-<class>", "AP50-<class>"}}`` in percent. Empty on other
            ranks.
        """
        gathered = comm.gather(self._matches, dst=0)
        if not comm.is_main_process():
            return OrderedDict()
        matches = {file_name: match for part in gathered for file_name, match in part.items()}
        missing = [file_name for file_name in self._label_files if file_name not in matches]
        if missing:
            count = len(matches), len(self._label_files), self._name
            self._logger.warning("Only %d of %d images of %s were predicted; the rest count as missed.", *count)
        matches |= {file_name: self._match(file_name, None) for file_name in missing}
        values = self._average_precision({name: matches[name] for name in self._label_files})
        headline = {key: values[key] for key in ("AP", "AP50")}
        self._logger.info("Cityscapes segm of %s:\n%s", self._name, create_small_table(headline))
        return OrderedDict(segm=values)

    def _check(self, file_name: str, instances: Instances) -> None:
        classes = instances.pred_classes.tolist()
        if classes and max(classes) >= len(self._label_ids):
            raise ValueError(
                f"{file_name}: predicted class {max(classes)}, but the dataset has {len(self._label_ids)} classes; "
                "set MODEL.FCOS.NUM_CLASSES to the number of classes of the dataset"
            )
        if not classes:
            return
        if not instances.has("pred_masks"):
            raise ValueError(f"{file_name}: the predictions have no masks; Cityscapes evaluates masks only")
        masks = instances.pred_masks
        if str(masks.dtype) != "torch.bool":
            raise TypeError(f"pred_masks must be bool (after the threshold), not {masks.dtype}")
        label_file = self._label_files[file_name]
        size = read_png_header(label_file).size
        if tuple(masks.shape[1:]) != size:
            raise ValueError(
                f"{file_name}: masks of {tuple(masks.shape[1:])} (height, width), but {label_file} has {size}; "
                "predict at the size of the original image"
            )

    def _match(self, file_name: str, instances: Instances | None) -> Any:
        """Match one image with the official tool; None stands for no prediction."""
        with self._open_folder() as folder:
            text = _write_predictions(folder, Path(file_name).stem, instances, self._label_ids)
            label_file = self._label_files[file_name]
            args = self._make_arguments(predictionPath=os.path.abspath(folder))
            with _capture_output():
                objects = self._tool.instances2dict([label_file])
                matches = self._tool.matchGtWithPreds([str(text)], [label_file], objects, args)
        return matches[os.path.abspath(label_file)]

    @contextlib.contextmanager
    def _open_folder(self) -> Iterator[Path]:
        if self._output_dir is not None:
            yield self._output_dir
            return
        with tempfile.TemporaryDirectory(prefix="cityscapes_eval_") as folder:
            yield Path(folder)

    def _average_precision(self, matches: dict[str, Any]) -> dict[str, float]:
        args = self._make_arguments()
        aps = np.zeros((1, len(args.instLabels), len(args.overlaps)))
        for label, name in enumerate(args.instLabels):
            for overlap, threshold in enumerate(args.overlaps):
                one = self._make_arguments(instLabels=[name], overlaps=np.array([threshold]))
                try:
                    aps[0, label, overlap] = self._tool.evaluateMatches(matches, one)[0, 0, 0]
                except IndexError:
                    # The tool fails at a class whose objects are all missed and whose predictions are all ignored
                    # (cityscapesScripts, issue 89). Its AP is 0.
                    aps[0, label, overlap] = 0
        with warnings.catch_warnings():  # a mean over no class is NaN, as intended
            warnings.simplefilter("ignore", RuntimeWarning)
            averages = self._tool.computeAverages(aps, args)
        values = {"AP": averages["allAp"], "AP50": averages["allAp50%"]}
        classes = averages["classes"]
        values |= {f"AP-{name}": classes[name]["ap"] for name in args.instLabels}
        values |= {f"AP50-{name}": classes[name]["ap50%"] for name in args.instLabels}
        return {key: 100 * float(value) for key, value in values.items()}

    def _make_arguments(self, **changes: Any) -> Any:
        """Return a copy of the tool's settings; its module stays unchanged."""
        args = copy.deepcopy(self._tool.args)
        args.quiet, args.distanceAvailable = True, False
        self._tool.setInstanceLabels(args)
        vars(args).update(changes)
        return args


def _import_tool() -> Any:
    try:
        tool: Any = importlib.import_module(_MODULE)
    except ImportError as error:
        raise ImportError(
            f"Cityscapes AP is computed by the package cityscapesscripts ({error}): pip install depthbox[cityscapes], "
            "or evaluate COCO AP with TEST.EVALUATOR coco"
        ) from error
    if not hasattr(tool.np, "in1d"):
        # numpy 2.4 removed in1d, which version 2.3.0 of the package calls. Only the "np" of its module is replaced.
        tool.np = types.SimpleNamespace(**vars(np), in1d=np.isin)
    return tool


def _find_label_files(dataset_name: str) -> dict[str, str]:
    """Return image -> instanceIds file, in the order of the dataset."""
    files = {record["file_name"]: ground_truth_file(record["file_name"]) for record in DatasetCatalog.get(dataset_name)}
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"dataset '{dataset_name}': {len(missing)} of {len(files)} instanceIds files are missing, such as "
            f"{missing[0]}. Unpack gtFine_trainvaltest.zip, which holds them, or evaluate COCO AP with TEST.EVALUATOR "
            "coco"
        )
    return {file_name: str(path) for file_name, path in files.items()}


def _find_label_ids(dataset_name: str) -> list[int]:
    """Return the Cityscapes label id of each class of the dataset."""
    names = list(MetadataCatalog.get(dataset_name).get("thing_classes") or ())
    known = {name: label for label, name in CLASSES.items()}
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(
            f"dataset '{dataset_name}' has the classes {names}, but Cityscapes evaluates {list(known)}; write its JSON "
            "file with tools/convert_cityscapes.py"
        )
    return [known[name] for name in names]


def _write_predictions(folder: Path, frame: str, instances: Instances | None, label_ids: Sequence[int]) -> Path:
    """Write {frame}.txt and its masks, replacing those of an earlier evaluation, and return the text file."""
    lines = []
    masks = folder / f"{frame}_masks"
    shutil.rmtree(masks, ignore_errors=True)
    if instances is not None and len(instances):
        make_folder(masks)
        objects = zip(
            instances.pred_masks.numpy(), instances.pred_classes.tolist(), instances.scores.tolist(), strict=True
        )
        for number, (mask, label, score) in enumerate(objects):
            path = masks / f"{number:03d}.png"
            with explain_write_errors(path):
                Image.fromarray(mask).save(path, compress_level=1)
            lines.append(f"{masks.name}/{path.name} {label_ids[label]} {score!r}\n")
    with atomic_open(folder / f"{frame}.txt") as file:
        file.write("".join(lines).encode())
    return folder / f"{frame}.txt"


@contextlib.contextmanager
def _capture_output() -> Iterator[None]:
    """Capture the output of the tool; its ``sys.exit`` on an error becomes an exception."""
    text = io.StringIO()
    try:
        with contextlib.redirect_stdout(text):
            yield
    except SystemExit as error:
        raise RuntimeError(f"cityscapesscripts stopped: {text.getvalue().strip()}") from error
