"""Interface of a kind of mask supervision, and the reduction that all kinds share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from torch import Tensor

from ...structures import Annotations, MaskPredictions, Queries
from ..distributed import mean_over_processes, world_size

Targets = TypeVar("Targets")


class Supervision(Protocol[Targets]):
    """A kind of supervision: the annotations it reads, the targets it builds and the losses it computes.

    Attributes:
        loss_names: names of all losses, in order; they depend on the config only.
        fields: annotations that the data mapper has to provide besides boxes and classes: names of fields of
            ``instances``, or of keys of the sample.
        optional_fields: annotations that are read if all images of the batch have them, such as pseudo masks.
        warmup_iters: number of iterations over which the weight of a loss grows to 1, by loss name; losses without an
            entry have their full weight from the start.
    """

    loss_names: tuple[str, ...]
    fields: tuple[str, ...]
    optional_fields: tuple[str, ...]
    warmup_iters: Mapping[str, int]

    def targets(self, images: Tensor, image_sizes: list[tuple[int, int]], annotations: Annotations) -> Targets:
        """Build the targets of a batch, per image or per object, without gradients.

        Args:
            images: (B, 3, H, W) in [0, 255], zero-padded, not normalized.
            image_sizes: (height, width) of each image without padding, pixels.
            annotations: annotations of these images.
        """

    def losses(
        self, predictions: MaskPredictions, queries: Queries, targets: Targets, weight: Tensor
    ) -> dict[str, Tensor]:
        """Compute the losses ``loss_names``: 0-dim tensors, before any warm-up.

        Args:
            predictions: masks of the queries, float32 or float64, and their depth if its loss is on.
            queries: Q queries.
            targets: return value of ``targets`` for the same batch.
            weight: (Q,) weight of each query, of the dtype of the logits; 0 excludes the query.
        """


@dataclass(frozen=True)
class WeightedSupervision:
    """A kind of supervision and the objects to which it applies.

    Attributes:
        supervision: the kind of supervision.
        weigh: function from the annotations to the weight (M,) of each object; None = 1 for every object.
        weigh_fields: annotations that ``weigh`` reads.
    """

    supervision: Supervision[Any]
    weigh: Callable[[Annotations], Tensor] | None = None
    weigh_fields: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """Annotations that the data mapper has to provide."""
        return self.supervision.fields + self.weigh_fields


def global_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the sum of the values divided by the sum of the weights, the latter averaged over all processes.

    The gradient that distributed training averages is then that of one process with the whole batch.

    Args:
        values: (N,) or 0-dim, already weighted.
        weights: (N,) or 0-dim; their sum over all processes counts as 1 at least.
    """
    return values.sum() / mean_over_processes(weights.sum()).clamp(min=1 / world_size())
