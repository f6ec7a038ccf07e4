"""STL in DICOM: valid, of the right patient and place, and closed when it is taken out again."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from pydicom.dataset import Dataset
from scipy.spatial.transform import Rotation

from spine_node.dicom.encapsulated_stl import write_encapsulated_stl
from spine_node.dicom.series import ImageSeries, read_series
from spine_node.imaging.volume import LabelMap
from spine_node.printing.meshes import meshes
from spine_node.segmentation.segmenter import Segmentation
from tests.dicom.small_reports import MODEL, stored
from tests.dicom.small_series import SPACE, STUDY, grid_of, labels_of, write_multiframe, write_series

TURN = Rotation.from_euler("xyz", (15, -25, 40), degrees=True).as_matrix()
TOOLS = Path(sys.executable).parent


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> ImageSeries:
    folder = tmp_path_factory.mktemp("ct")
    write_series(folder, grid_of(TURN[:, 0], TURN[:, 1]), change=_times)
    return read_series(folder)


def _times(ds: Dataset, _: int) -> None:
    ds.AcquisitionDate, ds.AcquisitionTime = "20260102", "101010.5"


def written(series: ImageSeries, assembled: bool = True, variant: str = "") -> tuple[Dataset, ...]:
    label_map = labels_of(series.grid)
    segmentation = Segmentation(label_map, MODEL, variant=variant)
    return write_encapsulated_stl(
        series, meshes(label_map), segmentation, software_version="9.9", assembled=assembled
    )


def taken_out(ds: Dataset) -> trimesh.Trimesh:
    payload = ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength]
    return trimesh.load(io.BytesIO(payload), file_type="stl")


def test_the_whole_spine_comes_out_closed_and_in_its_place(series: ImageSeries) -> None:
    label_map = labels_of(series.grid)
    (ds,) = (stored(ds) for ds in written(series))
    mesh = taken_out(ds)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.body_count == 5
    labelled_mm3 = np.count_nonzero(label_map.labels) * series.grid.voxel_mm3
    assert mesh.volume == pytest.approx(labelled_mm3, rel=0.01)
    centroid = series.grid.to_mm(np.argwhere(label_map.labels)).mean(axis=0)
    np.testing.assert_allclose(mesh.center_mass, centroid, atol=0.2)


def test_parts_are_one_series_and_one_group_with_a_title_each(series: ImageSeries) -> None:
    parts = [stored(ds) for ds in written(series, assembled=False)]
    titles = ["L1", "L2", "Sacrum", "Femoral head left", "Femoral head right"]
    assert [ds.DocumentTitle for ds in parts] == titles
    assert [int(ds.InstanceNumber) for ds in parts] == [1, 2, 3, 4, 5]
    assert len({ds.SeriesInstanceUID for ds in parts}) == len({ds.ModelGroupUID for ds in parts}) == 1
    assert len({ds.SOPInstanceUID for ds in parts}) == 5
    assert all(taken_out(ds).is_watertight for ds in parts)
    centre = taken_out(parts[1]).center_mass
    mask = labels_of(series.grid).labels == 21
    np.testing.assert_allclose(centre, series.grid.to_mm(np.argwhere(mask)).mean(axis=0), atol=0.2)


def test_the_modules_say_what_a_printer_needs(series: ImageSeries) -> None:
    """PS3.3 C.35.1 and C.24.2: unit, frame, purpose, tolerance, and the images it was made from."""
    (ds,) = (stored(ds) for ds in written(series))
    assert ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.104.3"
    assert ds.Modality == "M3D"
    assert ds.MIMETypeOfEncapsulatedDocument == "model/stl"
    assert ds.MeasurementUnitsCodeSequence[0].CodeValue == "mm"
    assert ds.ConceptNameCodeSequence[0].CodeValue == "85040-4"
    assert ds.ModelUsageCodeSequence[0].CodeMeaning == "Planning Intent"
    assert ds.ModelModification == ds.ModelMirroring == ds.BurnedInAnnotation == "NO"
    assert ds.FrameOfReferenceUID == SPACE
    assert ds.ContentDescription == "Spine: surface, LPS mm, simplified within 0.1 mm"
    assert len(ds.EncapsulatedDocument) % 2 == 0
    assert len(ds.EncapsulatedDocument) - ds.EncapsulatedDocumentLength in (0, 1)
    assert [item.ReferencedSOPInstanceUID for item in ds.SourceInstanceSequence] == [
        header.SOPInstanceUID for header in series.headers
    ]
    assert str(ds.AcquisitionDateTime) == "20260102101010.5"
    assert "ModelGroupUID" not in ds


@pytest.mark.parametrize("longest", [0.0333333, 0.1, 1.25])
def test_the_description_fits_whatever_the_structure(series: ImageSeries, longest: float) -> None:
    """LO holds 64 characters."""
    label_map = labels_of(series.grid)
    found = meshes(label_map, tolerance_mm=longest)
    parts = write_encapsulated_stl(
        series, found, Segmentation(label_map, MODEL), software_version="9.9", assembled=False
    )
    assert max(len(ds.ContentDescription) for ds in parts) <= 64


def test_patient_and_study_are_those_of_the_images(series: ImageSeries) -> None:
    for ds in (*written(series), *written(series, assembled=False)):
        for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "SpecificCharacterSet"):
            assert ds[keyword].value == series.headers[0][keyword].value
        assert ds.StudyInstanceUID == STUDY
        assert (ds.ContentDate, ds.ContentTime) == ("20260102", "101112")


def test_the_same_input_gives_the_same_bytes_and_any_other_another_uid(series: ImageSeries) -> None:
    def content(ds: Dataset) -> bytes:
        file = io.BytesIO()
        ds.save_as(file, enforce_file_format=True)
        return file.getvalue()

    assert [content(ds) for ds in written(series)] == [content(ds) for ds in written(series)]
    every = [*written(series), *written(series, False), *written(series, variant="L5=L4")]
    assert len({ds.SOPInstanceUID for ds in every}) == len(every)
    assert len({ds.SeriesInstanceUID for ds in every}) == 3


def test_a_multiframe_source_is_one_reference(tmp_path: Path) -> None:
    write_multiframe(tmp_path, grid_of())
    (ds,) = written(read_series(tmp_path))
    assert len(ds.SourceInstanceSequence) == 1
    assert taken_out(ds).is_watertight


def test_without_surfaces_there_is_no_object(series: ImageSeries) -> None:
    segmentation = Segmentation(LabelMap(series.grid, np.zeros(series.grid.shape, np.uint8)), MODEL)
    for assembled in (True, False):
        made = write_encapsulated_stl(series, {}, segmentation, software_version="9.9", assembled=assembled)
        assert made == ()


@pytest.mark.parametrize("assembled", [True, False])
def test_dciodvfy_has_nothing_to_say(assembled: bool, series: ImageSeries, tmp_path: Path) -> None:
    for number, ds in enumerate(written(series, assembled)):
        ds.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
        done = subprocess.run(
            [str(TOOLS / "dciodvfy"), "-new", str(tmp_path / f"{number}.dcm")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        said = [line for line in done.stderr.splitlines() if line.startswith(("Error", "Warning"))]
        assert "EncapsulatedSTL" in done.stderr + done.stdout
        assert said == []
