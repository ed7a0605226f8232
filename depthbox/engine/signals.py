"""Requests to stop a training run: the step in progress is finished, and all processes stop after the same one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from detectron2.utils import comm
from torch import Tensor

from ..errors import Stopped
from ..io.processes import REPEAT_SECONDS, STOP_SIGNALS, handle_signals

# A scheduler signals each process, and the launcher forwards the signal as well.
GROUP_REPEAT_SECONDS = 5.0


def repeat_seconds() -> float:
    """Return the time within which a second signal repeats the first one."""
    return GROUP_REPEAT_SECONDS if comm.get_world_size() > 1 else REPEAT_SECONDS


class StopSignals:
    """Signals to a training run.

    In ``deferred`` blocks a signal is only recorded. With several processes, ``flags`` of all processes are summed with
    the losses of a step, and ``agree`` takes the sums: all processes then stop after the same step, whichever of them
    got the signal. In ``immediate`` blocks inside, such as evaluations, a signal raises ``Stopped`` at once.
    """

    def __init__(self) -> None:
        self._received = 0  # number of the signal
        self._agreed = 0
        self._interruptible = False
        self._no_flags: Tensor | None = None

    @property
    def agreed(self) -> int:
        """Signal after which all processes of a group stop together; 0 = none, or a single process."""
        return self._agreed

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Record signals during a block.

        Raises:
            Stopped: at the end of the block, if a signal arrived after the last call of ``stop_if_requested``.
        """
        self._received = self._agreed = 0
        with handle_signals(self._handle, STOP_SIGNALS, repeat_seconds()):
            yield
            if self._received:
                raise Stopped(self._received)

    @contextlib.contextmanager
    def immediate(self) -> Iterator[None]:
        """Let signals interrupt a block.

        Raises:
            Stopped: at a signal, also at one that arrived before.
        """
        if number := self._agreed or self._received:
            raise Stopped(number)
        self._interruptible = True
        try:
            yield
        finally:
            self._interruptible = False

    def flags(self, device: torch.device) -> Tensor | None:
        """Return what this process adds to the sums of a step: (S,) float, S signals; None in a single process."""
        if comm.get_world_size() == 1:
            return None
        if not self._received:  # almost always: no copy to the device
            if self._no_flags is None:
                self._no_flags = torch.zeros(len(STOP_SIGNALS), device=device)
            return self._no_flags
        return torch.tensor([float(number == self._received) for number in STOP_SIGNALS], device=device)

    def agree(self, sums: Sequence[float]) -> None:
        """Record the flags of all processes.

        Args:
            sums: sums or means over the processes, in the order of ``STOP_SIGNALS``; empty in a single process.
        """
        self._agreed = next((number for number, total in zip(STOP_SIGNALS, sums, strict=False) if total > 0), 0)

    def stop_if_requested(self) -> None:
        """Stop after a step; call it in all processes.

        Raises:
            Stopped: a process got a signal before the losses of this step were exchanged.
        """
        number = self._received if comm.get_world_size() == 1 else self._agreed
        if number:
            raise Stopped(number)

    def _handle(self, number: int) -> None:
        self._received = number
        if self._interruptible:
            raise Stopped(number)
