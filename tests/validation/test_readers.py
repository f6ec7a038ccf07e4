"""What readers of others take out of our objects is what was put in."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom as hd
import nibabel
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from spine_node.dicom.forms import Product
from spine_node.dicom.seg import present_structures
from spine_node.imaging.volume import LabelMap
from tests.dicom.small_reports import below, groups
from tests.validation.conftest import SOURCES
from tests.validation.everything import Study

BEFORE_LPS = np.diag([-1.0, -1.0, 1.0])
"""NIfTI's millimetres are RAS."""

Found = dict[str, tuple[int, NDArray[np.float64]]]
"""Voxels and centroid (LPS mm) of each segment."""


def expected(label_map: LabelMap) -> Found:
    """From the label map, by its own affine."""
    found = {}
    for structure in present_structures(label_map):
        voxels = np.argwhere(np.isin(label_map.labels, structure.values))
        found[structure.label] = len(voxels), label_map.grid.to_mm(voxels.mean(axis=0))
    return found


def by_dcmqi(path: Path, folder: Path) -> Found:
    program = Path(sys.executable).with_name("segimage2itkimage")
    command = [
        program,
        "--inputDICOM",
        path,
        "--outputDirectory",
        folder,
        "--outputType",
        "nii",
        "--mergeSegments",
    ]
    subprocess.run([*map(str, command)], check=True, capture_output=True)
    found = {}
    for number, group in enumerate(
        json.loads((folder / "meta.json").read_text())["segmentAttributes"], start=1
    ):
        image = nibabel.nifti1.load(folder / f"{number}.nii.gz")
        labels = np.asarray(image.dataobj)
        for segment in group:
            voxels = np.argwhere(labels == segment["labelID"])
            ras = nibabel.affines.apply_affine(image.affine, voxels.mean(axis=0))
            found[segment["SegmentLabel"]] = len(voxels), BEFORE_LPS @ ras
    return found


def by_highdicom(path: Path, folder: Path) -> Found:
    seg = hd.seg.segread(path)
    volume = seg.get_volume(combine_segments=True)
    found = {}
    for number in seg.segment_numbers:
        voxels = np.argwhere(volume.array == number)
        label = seg.get_segment_description(number).segment_label
        found[label] = len(voxels), volume.map_indices_to_reference(voxels.mean(axis=0)[None])[0]
    return found


@pytest.mark.parametrize("read", [by_dcmqi, by_highdicom], ids=lambda read: read.__name__)
@pytest.mark.parametrize("form", ["seg-binary", "seg-labelmap"])
@pytest.mark.parametrize("source", SOURCES)
def test_every_voxel_of_a_seg_is_where_it_was_found(
    study_of: Callable[[str], Study],
    source: str,
    form: str,
    read: Callable[[Path, Path], Found],
    tmp_path: Path,
) -> None:
    study = study_of(source)
    (path,) = study.objects(Product(form))  # type: ignore[arg-type]
    found, wanted = read(path, tmp_path), expected(study.findings.segmentation.label_map)
    assert {label: count for label, (count, _) in found.items()} == {
        label: count for label, (count, _) in wanted.items()
    }
    for label, (_, centroid_mm) in found.items():
        np.testing.assert_allclose(centroid_mm, wanted[label][1], atol=0.01)


def test_dcmqi_reads_every_number_of_the_report(phantom: Study, tmp_path: Path) -> None:
    (path,) = phantom.objects(Product("sr-3d"))
    found = _by_tid1500reader(path, tmp_path)
    read = sorted(round(float(item["value"]), 3) for group in found for item in group["measurementItems"])
    assert read == sorted(round(p.value, 3) for p in phantom.findings.measurements.parameters)


ON_SEGS = [
    (Product("sr-3d"), Product("seg-binary")),
    (Product("sr-3d", seg=Product("seg-binary", parts=True)), Product("seg-binary", parts=True)),
]


@pytest.mark.parametrize(("product", "on"), ON_SEGS, ids=["whole", "parts"])
@pytest.mark.parametrize("source", SOURCES)
def test_every_vertebra_has_a_group_on_its_segment(
    study_of: Callable[[str], Study], source: str, product: Product, on: Product, tmp_path: Path
) -> None:
    """TID 1411, by pydicom and by dcmqi: the segment's number and Tracking UID."""
    study = study_of(source)
    (report,), (path,) = study.objects(product), study.objects(on)
    seg = pydicom.dcmread(path, stop_before_pixels=True)
    segments = {str(i.TrackingUID): (str(i.TrackingID), int(i.SegmentNumber)) for i in seg.SegmentSequence}
    levels = {p.level for p in study.findings.measurements.parameters if p.key == "VB_VOL"}
    assert len(levels) > 4

    referred = {}
    for group in groups(pydicom.dcmread(report)).values():
        for image in below(group, "121191"):
            reference = image.ReferencedSOPSequence[0]
            assert reference.ReferencedSOPInstanceUID == seg.SOPInstanceUID
            name, number = segments[below(group, "112040")[0].UID]
            assert reference.ReferencedSegmentNumber == number
            assert below(group, "112039")[0].TextValue == name
            referred[name] = number
    assert referred.keys() >= {f"{level}_body" if on.parts else level for level in levels}

    by_dcmqi = {
        group["TrackingIdentifier"]: int(group["ReferencedSegment"])
        for group in _by_tid1500reader(report, tmp_path)
        if "ReferencedSegment" in group
    }
    assert by_dcmqi == referred


def _by_tid1500reader(report: Path, folder: Path) -> list[dict[str, Any]]:
    out = folder / "sr.json"
    program = str(Path(sys.executable).with_name("tid1500reader"))
    subprocess.run(
        [program, "--inputDICOM", str(report), "--outputMetadata", str(out)], check=True, capture_output=True
    )
    measurements: list[dict[str, Any]] = json.loads(out.read_text())["Measurements"]
    return measurements


def test_highdicom_finds_the_group_of_every_vertebra_by_its_tracking_uid(
    study_of: Callable[[str], Study],
) -> None:
    study = study_of("multi-frame")  # the shorter one: highdicom needs 15 s for the report of a whole spine
    (seg,), (report,) = (study.objects(Product(form)) for form in ("seg-binary", "sr-3d"))
    tracked = {
        str(item.TrackingUID): int(item.SegmentNumber)
        for item in pydicom.dcmread(seg, stop_before_pixels=True).SegmentSequence
    }
    found = hd.sr.srread(report).content.get_volumetric_roi_measurement_groups()
    refers = {
        group.tracking_uid: group.referenced_segment[0].referenced_segment_numbers[0] for group in found
    }
    levels = {p.level for p in study.findings.measurements.parameters if p.key == "V_VOL"}
    assert len(found) >= len(levels) > 4
    assert refers.items() <= tracked.items()
