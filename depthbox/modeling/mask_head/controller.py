"""Controller: prediction of the dynamic filters of each query."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...structures import Queries


class Controller(nn.Conv2d):
    """3x3 convolution of the box tower that is evaluated at the locations of the queries only (CondInst).

    The values equal those of the dense convolution, whose cost would be a tenth of the detection head's.

    Args:
        in_channels: number of channels of the box tower.
        num_params: G, number of parameters per query.
    """

    def __init__(self, in_channels: int, num_params: int) -> None:
        super().__init__(in_channels, num_params, 3, padding=1)
        nn.init.normal_(self.weight, std=0.01)
        assert self.bias is not None
        nn.init.zeros_(self.bias)

    def fill_up(self, state: dict[str, Any], prefix: str) -> int:
        """Append the initial values of the last filters to a state dict that lacks them, in place.

        Weights of a network without the depth layer can thus initialize a network with it.

        Args:
            state: state dict of a whole network; extended if it holds fewer filters than this controller has.
            prefix: prefix of this controller's names, such as "controller.".

        Returns:
            Number of appended filters.
        """
        lacking = 0
        for name, own in self.named_parameters():
            given = state.get(prefix + name)
            if given is not None and len(given) < len(own) and tuple(given.shape[1:]) == tuple(own.shape[1:]):
                lacking = len(own) - len(given)
                given = torch.as_tensor(given)
                state[prefix + name] = torch.cat((given, own.detach()[len(given) :].to(given)))
        return lacking

    def forward(self, box_tower: list[Tensor], queries: Queries) -> Tensor:  # type: ignore[override]
        """Compute the filters (Q, G) of the queries from the box tower (B, C, H, W) per level, finest first."""
        padded = [F.pad(x, (1, 1, 1, 1)) for x in box_tower]
        cells = torch.cat([x.permute(0, 2, 3, 1).flatten(0, 2) for x in padded])
        device = cells.device
        sizes = torch.tensor([(x.shape[0], x.shape[2], x.shape[3]) for x in padded]).to(device, non_blocking=True)
        starts = sizes.prod(1).cumsum(0) - sizes.prod(1)
        height, width = sizes[queries.level, 1], sizes[queries.level, 2]
        corner = starts[queries.level] + (queries.image_index * height + queries.row) * width + queries.column
        step = torch.arange(3, device=device)
        index = corner[:, None, None] + step[None, :, None] * width[:, None, None] + step[None, None, :]
        patches = cells[index.flatten()].view(len(corner), 9 * cells.shape[1])
        weight = self.weight.permute(0, 2, 3, 1).flatten(1)
        return F.linear(patches, weight, self.bias)
