"""Controller: predicts each query's dynamic filters, at the queries' positions only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...structures import Queries


class Controller(nn.Conv2d):
    """A 3x3 convolution of the box tower that is evaluated at a few positions (CondInst).

    Dense evaluation would cost a tenth of the whole head; its values at the chosen positions are the same.

    Args:
        in_channels: channels of the box tower.
        num_params: G, numbers per query.
    """

    def __init__(self, in_channels: int, num_params: int) -> None:
        super().__init__(in_channels, num_params, 3, padding=1)
        nn.init.normal_(self.weight, std=0.01)
        assert self.bias is not None
        nn.init.zeros_(self.bias)

    def fill_up(self, state: dict[str, Any], prefix: str) -> int:
        """Append the last numbers' initial filters to a state dict that lacks them, in place.

        So weights of a network without the depth layer start one with it.

        Args:
            state: of a whole network, changed where it holds fewer filters than this controller has.
            prefix: of this controller's names in it, such as "controller.".

        Returns:
            How many filters were appended.
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
        """Filters (Q, G) of the queries from the box tower's (B, C, H, W) levels, finest first."""
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
