"""Pixels of a Segmentation, against decoders that know nothing of how they were made."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder, unpack_bits
from pydicom.uid import RLELossless

from spine_node.dicom.seg_pixels import LONGEST_RUN, packed_bits, run_lengths, values_in_slices
from spine_node.dicom.seg_shares import frame_slices, shares
from spine_node.imaging.volume import Grid, LabelMap

IDENTITY = np.arange(256, dtype=np.uint8)


def decoded(frame: bytes, shape: tuple[int, int], plugin: str) -> np.ndarray:
    pixels, _ = get_decoder(RLELossless).as_array(
        encapsulate([frame]),
        decoding_plugin=plugin,
        rows=shape[0], columns=shape[1], number_of_frames=1, samples_per_pixel=1, bits_allocated=8,
        bits_stored=8, pixel_representation=0, photometric_interpretation="MONOCHROME2",
        pixel_keyword="PixelData", transfer_syntax_uid=RLELossless,
    )  # fmt: skip
    return pixels


slices = st.tuples(st.integers(1, 9), st.integers(1, 300)).flatmap(
    lambda shape: arrays.arrays(np.uint8, shape, elements=st.integers(0, 3), fill=st.just(0))
)


@settings(max_examples=60, deadline=None)
@given(slices)
def test_run_lengths_are_read_by_two_decoders(labels: np.ndarray) -> None:
    frame = run_lengths(labels, IDENTITY)
    assert len(frame) % 2 == 0
    for plugin in ("pydicom", "pylibjpeg"):
        np.testing.assert_array_equal(decoded(frame, labels.shape, plugin), labels)


def test_a_run_is_as_long_as_it_may_be_and_ends_with_its_row() -> None:
    """PS3.5 G.3.1: an encoder does not go on over the end of a row; a run has up to 128 pixels."""
    labels = np.full((3, LONGEST_RUN + 1), 7, dtype=np.uint8)
    assert run_lengths(labels, IDENTITY)[64:] == bytes([129, 7, 0, 7]) * 3


def test_two_values_of_one_segment_are_one_run() -> None:
    numbers = np.zeros(256, dtype=np.uint8)
    numbers[[20, 120]] = 5
    labels = np.array([[20, 20, 120, 120, 21, 21]], dtype=np.uint8)
    assert run_lengths(labels, numbers)[64:] == bytes([253, 5, 255, 0])


volumes = st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7)).flatmap(
    lambda shape: arrays.arrays(np.uint8, shape, elements=st.integers(0, 3))
)


@settings(max_examples=60, deadline=None)
@given(volumes)
def test_bits_follow_each_other_whatever_the_size_of_a_frame(labels: np.ndarray) -> None:
    label_map = LabelMap(Grid(labels.shape, np.eye(4)), labels)
    frames = [(k, values) for values in ((1,), (2, 3)) for k in range(len(labels))]
    packed = packed_bits(label_map, frames)
    expected = np.concatenate([np.isin(labels[k], values).ravel() for k, values in frames])
    bits = unpack_bits(packed)
    np.testing.assert_array_equal(bits[: len(expected)], expected)
    assert not bits[len(expected) :].any()
    assert len(packed) == -(-len(expected) // 16) * 2


@settings(max_examples=60, deadline=None)
@given(volumes)
def test_every_value_of_a_slice_is_seen(labels: np.ndarray) -> None:
    seen = values_in_slices(LabelMap(Grid(labels.shape, np.eye(4)), labels))
    for k, slice_labels in enumerate(labels):
        assert np.flatnonzero(seen[k]).tolist() == np.unique(slice_labels).tolist()


@settings(max_examples=100, deadline=None)
@given(
    arrays.arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 6))),
    st.sampled_from(["seg-binary", "seg-labelmap"]),
    st.integers(1, 12),
)
def test_shares_hold_everything_once_and_none_is_over_the_cap(
    occupied: np.ndarray, form: str, most: int
) -> None:
    found = shares(occupied, form, most)
    np.testing.assert_array_equal(sum(share.astype(int) for share in found) if found else 0, occupied)
    for share in found:
        assert 0 < len(frame_slices(share, form)) <= most
    for column in range(occupied.shape[1]):
        alone = np.zeros_like(occupied)
        alone[:, column] = occupied[:, column]
        if len(frame_slices(alone, form)) <= most:
            assert sum(share[:, column].any() for share in found) <= 1
