import pytest
import torch
from monai.data.utils import compute_importance_map
from monai.networks.blocks import SubpixelUpsample as MonaiUpsample
from torch import nn

from spine_node.segmentation.architecture import Architecture
from spine_node.segmentation.networks import SpineNet, SubpixelUpsample
from spine_node.segmentation.windows import _bell


@pytest.fixture(autouse=True)
def _same_weights():
    torch.manual_seed(3)


def test_the_shuffle_is_monais_with_the_same_weights():
    """Bundles trained with MONAI's block load, and say the same to the last bit."""
    theirs = MonaiUpsample(3, 6, 4, 2, conv_block=nn.Conv3d(6, 32, 1), apply_pad_pool=False)
    ours = SubpixelUpsample(6, 4)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 6, 3, 4, 5)
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize("patch", [(112, 80, 80), (16, 24, 8)])
def test_windows_are_blended_with_monais_weights(patch):
    theirs = compute_importance_map(patch, mode="gaussian", sigma_scale=0.2).clamp_min(1e-3)
    assert torch.equal(_bell(patch), theirs)


@pytest.mark.parametrize("stride", [1, 2])
def test_heads_have_the_same_sizes_whatever_the_stem(stride):
    """Targets, windows and instances need not know at which spacing the trunk works."""
    net = SpineNet(Architecture(widths=(4, 8), fine=4, stem_stride=stride))
    assert net.architecture.divisor == 2 * stride
    heads = net(torch.randn(1, 1, 8, 12, 16))
    assert heads.semantic.shape == (1, 6, 8, 12, 16)
    assert heads.offset.shape == (1, 3, 4, 6, 8)
    assert heads.level.shape == (1, 27, 4, 6, 8)


def test_a_net_without_levels_only_tells_tissues_apart():
    net = SpineNet(Architecture(widths=(4, 8), fine=4, semantic=3, levels=0))
    heads = net(torch.randn(1, 1, 8, 8, 8))
    assert heads.semantic.shape[1] == 3
    assert heads.offset is None
    assert heads.level is None
    assert not [name for name in net.state_dict() if name.startswith(("offset", "level"))]


def test_an_architecture_written_before_there_was_a_choice_has_a_strided_stem():
    before = Architecture().to_dict()
    del before["stem_stride"]
    assert Architecture.from_dict(before | {"axes": "z,y,x"}) == Architecture()


@pytest.mark.parametrize(
    "values", [{"widths": ()}, {"widths": (8, 0)}, {"widths": "ab"}, {"stem_stride": 3}, {"fine": 1}]
)
def test_sizes_that_make_no_net_are_refused(values):
    with pytest.raises(ValueError, match=r"widths|stem_stride|fine"):
        Architecture(**values)
