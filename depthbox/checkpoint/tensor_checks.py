"""Checks of tensors from a file before they become weights: each message names the file, the tensor and the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from .formats.torch_objects import UnusableTensor

REMEDY = "Give another checkpoint, such as an earlier one of the training run, or download the file again."


class WeightsError(UserError):
    """Error for a file whose tensors cannot be the weights of the network."""


def describe_problem(value: Any) -> str | None:
    """Return why a value of a file is not a tensor of weights, None if it is one."""
    if isinstance(value, UnusableTensor):
        return value.kind
    if not isinstance(value, Tensor):
        return f"of type {type(value).__name__}, not a tensor"
    return "complex" if value.is_complex() else None


def require_tensors(state: Any, source: str, part: str = "model") -> dict[str, Tensor]:
    """Return a state dict from a file if it is a dict of usable tensors by name.

    Args:
        state: of the file.
        source: path of the file, for messages.
        part: name of the state dict in the file, for messages.

    Raises:
        WeightsError: it is something else.
    """
    if not isinstance(state, dict) or not state:
        kind = "empty" if isinstance(state, dict) else f"of type {type(state).__name__}"
        raise WeightsError(f"{source}: its '{part}' is {kind}, not a dict of tensors by name. {REMEDY}")
    for name, value in state.items():
        if not isinstance(name, str):
            raise WeightsError(
                f"{source}: a name in its '{part}' is of type {type(name).__name__}, not a str. {REMEDY}"
            )
        problem = describe_problem(value)
        if problem:
            raise WeightsError(f"{source}: {name[:80]!r} in its '{part}' is {problem}. {REMEDY}")
    return state


def check_values(state: Mapping[str, Tensor], own: Mapping[str, Tensor], source: str) -> None:
    """Refuse tensors of a file whose values cannot be weights of a network; other names and shapes are not checked.

    Args:
        state: tensors of the file by name, of any shape.
        own: tensors of the network by name, of any shape.
        source: path of the file, for messages.

    Raises:
        WeightsError: numbers that are not floating-point, or not finite.
    """
    both = [name for name in own if name in state and own[name].is_floating_point()]
    for name in both:
        if not state[name].is_floating_point():
            raise WeightsError(
                f"{source}: the tensor {name} is {state[name].dtype}, but weights are floating-point numbers. {REMEDY}"
            )
    for name in both:
        if not torch.isfinite(state[name]).all():
            raise WeightsError(
                f"{source}: the tensor {name} has values that are NaN or infinite: the training run has diverged. "
                f"{REMEDY}"
            )


def load_exactly(network: nn.Module, state: Any, source: str, part: str = "model") -> None:
    """Load a state dict that has exactly the tensors of a network.

    Args:
        network: changed in place, if the tensors fit.
        state: of a file.
        source: path of the file, for messages.
        part: name of the state dict in the file, for messages.

    Raises:
        WeightsError: a name, shape or value does not fit.
    """
    check_values(require_tensors(state, source, part), network.state_dict(), source)
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(f"{source}: its '{part}' does not fit the network of the config: {reason}") from error
