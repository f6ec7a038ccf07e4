"""SpineNet: a small residual 3-D U-Net with three heads.

At a stem stride of 2 the trunk works at twice the input spacing (a strided stem in, a sub-pixel
shuffle out), so that the cost is that of a coarse net while outlines are decided at the input
spacing, next to the raw values. At a stride of 1 the trunk itself works at the input spacing: for
voxels so coarse that a thoracic disc is one of them. Instance normalisation makes the net
indifferent to the gain and offset of a scanner.

Ronneberger et al., MICCAI 2015 (U-Net); He et al., CVPR 2016 (residual blocks); Shi et al.,
CVPR 2016 (sub-pixel shuffle). It knows tensors only: no grids, no anatomy. It needs torch alone, so
that a net can be trained wherever torch is.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from spine_node.segmentation.architecture import Architecture

__all__ = ["OFFSET_UNIT_MM", "Architecture", "Heads", "ResidualBlock", "SpineNet", "parameter_count"]

SLOPE = 0.1
"""Of every leaky rectifier (dimensionless)."""


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

    A net without levels says None for both.
    """

    semantic: Tensor
    offset: Tensor | None = None
    level: Tensor | None = None


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


class SubpixelUpsample(nn.Module):
    """Twice the size by a convolution whose channels become neighbouring voxels.

    Channels and weight names are those of MONAI's block of this name, without its pooling.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv_block = nn.Conv3d(channels_in, 8 * channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv_block(x)
        batch, channels, *size = y.shape
        y = y.reshape(batch, channels // 8, 2, 2, 2, *size).permute(0, 1, 5, 2, 6, 3, 7, 4)
        return y.reshape(batch, channels // 8, *(2 * n for n in size))


class SpineNet(nn.Module):
    """See the module; about three million weights at the default widths."""

    def __init__(self, architecture: Architecture | None = None) -> None:
        super().__init__()
        self.architecture = architecture or Architecture()
        widths, fine = self.architecture.widths, self.architecture.fine
        halved = self.architecture.stem_stride == 2
        self.stem = nn.Conv3d(1, widths[0], 4 if halved else 3, 2 if halved else 1, 1, bias=False)
        steps = list(pairwise(widths))
        self.encoder = nn.ModuleList(
            [ResidualBlock(widths[0], widths[0])] + [ResidualBlock(a, b, 2) for a, b in steps]
        )
        self.up = nn.ModuleList([nn.ConvTranspose3d(b, a, 2, 2) for a, b in steps])
        self.decoder = nn.ModuleList([ResidualBlock(2 * a, a) for a in widths[:-1]])
        if self.architecture.levels:
            self.offset = nn.Conv3d(widths[0], 3, 1)
            self.level = nn.Conv3d(widths[0], self.architecture.levels, 1)
        if halved:
            self.shuffle = SubpixelUpsample(widths[0], fine // 2)
            self.fine = nn.Conv3d(fine // 2 + 1, fine, 3, 1, 1)
        self.semantic = nn.Conv3d(fine if halved else widths[0], self.architecture.semantic, 1)

    def forward(self, x: Tensor) -> Heads:
        """Heads for patches of shape (batch, 1, z, y, x), every edge a multiple of `divisor`."""
        y, skips = self.stem(x), []
        for block in self.encoder:
            y = block(y)
            skips.append(y)
        for up, block, skip in zip(reversed(self.up), reversed(self.decoder), skips[-2::-1], strict=True):
            y = block(torch.cat([up(y), skip], dim=1))
        if self.architecture.stem_stride == 2:
            outline = functional.leaky_relu(self.fine(torch.cat([self.shuffle(y), x], dim=1)), SLOPE)
            semantic = self.semantic(outline)
        else:
            semantic = self.semantic(y)
            y = functional.avg_pool3d(y, 2)  # the other heads speak at half size, whatever the trunk's
        if not self.architecture.levels:
            return Heads(semantic)
        return Heads(semantic, self.offset(y), self.level(y))


def parameter_count(network: nn.Module) -> int:
    """Number of trained weights."""
    return sum(p.numel() for p in network.parameters())
