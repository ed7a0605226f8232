"""torch.compile of the parts of the network that are plain convolutions."""

from __future__ import annotations

from torch import nn

PARTS = ("backbone", "proposal_generator.fcos_head", "mask_branch")


def compile_parts(model: nn.Module) -> list[str]:
    """Compile backbone, towers and mask branch in place, for images of any size; the first step then takes minutes.

    Names of weights stay. What selects, matches or pastes stays as it is: its shapes depend on the data.

    Args:
        model: ``DepthBox``, or another network; parts that it lacks are left out.

    Returns:
        The parts that will be compiled.
    """
    modules = dict(model.named_modules())
    found = [name for name in PARTS if name in modules]
    for name in found:
        modules[name].compile(dynamic=True)
    return found
