"""The linear recurrence h[t] = decay[t] * h[t-1] + drive[t] over rows that follow each other.

Rows of many people lie end to end, without padding; `decay` is zero where a person begins. On a CPU
a compiled loop goes through once, which is all the work that there is; elsewhere a doubling scan
(Hillis and Steele 1986) does log2(longest) passes that a GPU takes at once. Both are held to the
plain loop by a test, and the loop's gradient to finite differences.
"""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from operators.kernel import free_kernel

Array = NDArray[Any]


def linear_scan(decay: Tensor, drive: Tensor, longest: int) -> Tensor:
    """(n, w) states of (n, w) decays and drives, real or complex.

    Args:
        longest: rows of the person with most; the doubling scan needs to look no further.
    """
    if drive.device.type == "cpu":
        states: Tensor = _Loop.apply(decay, drive)
        return states
    return doubling_scan(decay, drive, longest)


def doubling_scan(decay: Tensor, drive: Tensor, longest: int) -> Tensor:
    """The same in passes over whole arrays: after pass k a row knows the 2^k rows before it."""
    reach = 1
    while reach < longest:
        before = torch.nn.functional.pad(drive, (0, 0, reach, 0))[:-reach]
        drive = drive + decay * before
        decay = decay * torch.nn.functional.pad(decay, (0, 0, reach, 0))[:-reach]
        reach *= 2
    return drive


class _Loop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, decay: Tensor, drive: Tensor) -> Tensor:
        decay, drive = decay.contiguous(), drive.contiguous()
        states = torch.empty_like(drive)
        if len(drive):
            _forward(decay.numpy(), drive.numpy(), states.numpy())
        ctx.save_for_backward(decay, states)
        return states

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        decay, states = ctx.saved_tensors
        gradient = gradient.contiguous()
        of_decay, of_drive = torch.zeros_like(gradient), torch.empty_like(gradient)
        if len(gradient):
            turned, before = decay.conj().resolve_conj(), states.conj().resolve_conj()
            out = of_decay.numpy(), of_drive.numpy()
            _backward(turned.numpy(), before.numpy(), gradient.numpy(), *out)
        return of_decay, of_drive


@free_kernel
def _forward(decay: Array, drive: Array, states: Array) -> None:
    states[0] = drive[0]
    for t in range(1, len(drive)):
        for j in range(drive.shape[1]):
            states[t, j] = decay[t, j] * states[t - 1, j] + drive[t, j]


@free_kernel
def _backward(
    decay: Array, states: Array, gradient: Array, of_decay: Array, of_drive: Array
) -> None:
    last = len(gradient) - 1
    of_drive[last] = gradient[last]
    for t in range(last, 0, -1):
        for j in range(gradient.shape[1]):
            of_decay[t, j] = of_drive[t, j] * states[t - 1, j]
            of_drive[t - 1, j] = gradient[t - 1, j] + decay[t, j] * of_drive[t, j]
