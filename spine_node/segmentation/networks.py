"""SpineNet: a small residual 3-D U-Net with three heads, one scale finer at its ends than inside.

The trunk works at twice the input spacing (a strided stem in, a sub-pixel shuffle out), so that the
cost is that of a coarse net while outlines are decided at the input spacing, next to the raw
values. Instance normalisation makes it indifferent to the gain and offset of a scanner.

Ronneberger et al., MICCAI 2015 (U-Net); He et al., CVPR 2016 (residual blocks); Shi et al.,
CVPR 2016 (sub-pixel shuffle). It knows tensors only: no grids, no anatomy.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from monai.networks.blocks import SubpixelUpsample
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.1
"""Of every leaky rectifier (dimensionless)."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """What it takes to build the net; written into the bundle and checked against it.

    Attributes
    ----------
    widths : tuple of int
        Channels of the trunk, from twice the input spacing downwards.
    semantic : int
        Tissue classes at the input spacing.
    levels : int
        Vertebral levels told apart at twice the input spacing.
    fine : int
        Channels of the last stage, at the input spacing.
    """

    widths: tuple[int, ...] = (32, 64, 96, 128)
    semantic: int = 6
    levels: int = 27
    fine: int = 16

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"name": "SpineNet"} | asdict(self) | {"widths": list(self.widths)}

    @property
    def divisor(self) -> int:
        """Every edge of an input must be a multiple of this."""
        return int(2 ** len(self.widths))


class Heads(NamedTuple):
    """What the net says about a patch.

    Attributes
    ----------
    semantic : Tensor, shape (batch, classes, z, y, x)
        Logits at the input spacing.
    offset : Tensor, shape (batch, 3, z/2, y/2, x/2)
        From a vertebra's voxel to its body's centre, in units of `OFFSET_UNIT_MM`, axes as the array's.
    level : Tensor, shape (batch, levels, z/2, y/2, x/2)
        Logits, meaningful inside vertebral bodies.
    """

    semantic: Tensor
    offset: Tensor
    level: Tensor


OFFSET_UNIT_MM = 20.0
"""Millimetres in one unit of the offset head, so that its numbers are near one."""


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions around a skip; `stride` 2 halves the size."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.first_norm = nn.InstanceNorm3d(channels_out, affine=True)
        self.second = nn.Conv3d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.second_norm = nn.InstanceNorm3d(channels_out, affine=True)
        same = stride == 1 and channels_in == channels_out
        self.skip = (
            nn.Identity() if same else nn.Conv3d(channels_in, channels_out, stride, stride, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = functional.leaky_relu(self.first_norm(self.first(x)), SLOPE)
        return functional.leaky_relu(self.second_norm(self.second(y)) + self.skip(x), SLOPE)


class SpineNet(nn.Module):
    """See the module; about three million weights at the default widths."""

    def __init__(self, architecture: Architecture | None = None) -> None:
        super().__init__()
        self.architecture = architecture or Architecture()
        widths, fine = self.architecture.widths, self.architecture.fine
        self.stem = nn.Conv3d(1, widths[0], 4, 2, 1, bias=False)
        steps = list(pairwise(widths))
        self.encoder = nn.ModuleList(
            [ResidualBlock(widths[0], widths[0])] + [ResidualBlock(a, b, 2) for a, b in steps]
        )
        self.up = nn.ModuleList([nn.ConvTranspose3d(b, a, 2, 2) for a, b in steps])
        self.decoder = nn.ModuleList([ResidualBlock(2 * a, a) for a in widths[:-1]])
        self.offset = nn.Conv3d(widths[0], 3, 1)
        self.level = nn.Conv3d(widths[0], self.architecture.levels, 1)
        self.shuffle = SubpixelUpsample(
            3, widths[0], fine // 2, 2, conv_block=nn.Conv3d(widths[0], 4 * fine, 1), apply_pad_pool=False
        )
        self.fine = nn.Conv3d(fine // 2 + 1, fine, 3, 1, 1)
        self.semantic = nn.Conv3d(fine, self.architecture.semantic, 1)

    def forward(self, x: Tensor) -> Heads:
        """Heads for patches of shape (batch, 1, z, y, x), every edge a multiple of `divisor`."""
        y, skips = self.stem(x), []
        for block in self.encoder:
            y = block(y)
            skips.append(y)
        for up, block, skip in zip(reversed(self.up), reversed(self.decoder), skips[-2::-1], strict=True):
            y = block(torch.cat([up(y), skip], dim=1))
        outline = functional.leaky_relu(self.fine(torch.cat([self.shuffle(y), x], dim=1)), SLOPE)
        return Heads(self.semantic(outline), self.offset(y), self.level(y))


def parameter_count(network: nn.Module) -> int:
    """Number of trained weights."""
    return sum(p.numel() for p in network.parameters())
