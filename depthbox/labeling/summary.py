"""Result of a labeling job."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..io.annotations.records import AnnotationSet
from .fallback import fill_fallbacks
from .partial_results import ObjectLabel, PartialResults
from .prompts import PromptPlan


@dataclass
class LabelSummary:
    """Result of a labeling job.

    Attributes:
        annotations: labeled dataset.
        plan: objects labeled from points, and objects that stay as they are.
        labels: index of the annotation in the user's file -> label.
        problems: one line for each image and object without a mask.
        resumed: number of images labeled by an earlier, stopped call.
        started_over: whether the unfinished results of another job were discarded.
        was_finished: whether an earlier call had finished the same job.
    """

    annotations: AnnotationSet
    plan: PromptPlan = field(default_factory=PromptPlan)
    labels: dict[int, ObjectLabel] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    resumed: int = 0
    started_over: bool = False
    was_finished: bool = False

    @property
    def empty(self) -> int:
        """Number of objects whose mask is empty."""
        return sum(label.area == 0 for label in self.labels.values())

    @property
    def points(self) -> int:
        """Number of objects that were labeled from their points."""
        return sum(self.annotations.positions[number] in self.labels for number in self.plan.points)

    @property
    def fallbacks(self) -> int:
        """Number of points that have a square instead of a mask."""
        return sum(label.fallback for label in self.labels.values())

    @property
    def counts(self) -> str:
        """Numbers of labeled boxes and points as text."""
        boxes = f"{len(self.labels) - self.points} boxes"
        if not self.plan.points:
            return boxes
        points = f"{self.points} points"
        return points if self.points == len(self.labels) else f"{boxes} and {points}"

    @property
    def crowds(self) -> int:
        """Number of crowds, which are not labeled."""
        return sum(entry["iscrowd"] for entry in self.annotations.content["annotations"])

    @property
    def unlabeled(self) -> int:
        """Number of annotations without a label; crowds and objects that stay as they are do not count."""
        count = len(self.annotations.original.get("annotations") or ())
        return count - self.crowds - len(self.plan.kept) - len(self.labels)

    def add_labels(self, partial: PartialResults, side: float) -> None:
        """Add the labels of the partial results, and a problem for each prompt outside its image.

        Args:
            partial: labels of all images.
            side: side of the squares in place of masks, see ``fill_fallbacks``.
        """
        names = {image["id"]: image["file_name"] for image in self.annotations.content["images"]}
        ids, positions = self.annotations.ids.annotations, self.annotations.positions
        labels = fill_fallbacks(self.annotations, partial.labels, self.plan, side)
        for entry in self.annotations.content["annotations"]:
            label = labels.get(positions[entry["id"]])
            if label is not None and label.segmentation is not None:
                self.labels[positions[entry["id"]]] = label
            elif label is not None:
                outside = "the point" if entry["id"] in self.plan.points else "less than half a pixel of the box"
                where = f"annotation {ids[entry['id']]} of {names[entry['image_id']]}"
                verb = "is outside" if entry["id"] in self.plan.points else "is inside"
                self.problems.append(f"{where}: {outside} {verb} the image")
