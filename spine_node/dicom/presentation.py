"""The measured lines on the images they were measured on: a Grayscale Softcopy Presentation State.

What can be drawn on a slice, and why not more, says `presentation_lines`. Written here and not by
highdicom, whose displayed area takes every pixel for a square.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat

from spine_node.dicom.blanks import blank, reference
from spine_node.dicom.frames import Frame, functional_group
from spine_node.dicom.identity import content_moment, finish, series_description, series_number
from spine_node.dicom.presentation_lines import LAYERS, LEAN_DEG, OFF_SLICE_MM, Drawing, drawings
from spine_node.dicom.result_uids import digest_of, result_uids
from spine_node.dicom.series import ImageSeries
from spine_node.imaging.volume import FloatArray
from spine_node.parameters.model import Measurements
from spine_node.segmentation.segmenter import Segmentation

GRAYSCALE_SOFTCOPY = "1.2.840.10008.5.1.4.1.1.11.1"

SERIES_OFFSET = 5
"""After the PDF (`identity.series_number`)."""

BONE_WINDOW = (400.0, 2000.0, "LINEAR")
"""Centre, width and function for images that state no window; grey values of cone-beam CT are no HU, and
this is only where a viewer begins."""

Window = tuple[float, float, str]


def write_presentations(
    series: ImageSeries, measurements: Measurements, segmentation: Segmentation, *, software_version: str
) -> tuple[Dataset, ...]:
    """One presentation state of the lines that the source's slices show, a graphic layer for each theme.

    A line is drawn on the slice nearest to it if it leaves the slice by at most 5 mm and leans out of it
    by at most 15 degrees, and only on slices of the plane it is read in: axial sources show rotation,
    canal and endplates, coronal ones Cobb angles, sagittal ones lordosis, kyphosis and pelvis. Oblique
    sources show none. Only images with a line are referred to, and they keep their own window.

    Parameters
    ----------
    series : ImageSeries
    measurements : Measurements
    segmentation : Segmentation
        For the model that made it.
    software_version : str

    Returns
    -------
    tuple of Dataset
        Empty where no slice shows a line. More than one where slices differ in slope and intercept:
        a presentation state holds one of these for all its images (PS3.3 C.11.1).
    """
    drawn: dict[tuple[float, float], list[Drawing]] = {}
    for drawing in drawings(measurements, series.grid):
        frame = series.frames[drawing.slice]
        drawn.setdefault((frame.slope, frame.intercept), []).append(drawing)
    uid = result_uids(series, segmentation, software_version)
    measured = digest_of(measurements.to_json())

    states = []
    for number, (rescale, some) in enumerate(drawn.items(), start=1):
        own = uid("presentation", str(number), measured)
        state = blank(GRAYSCALE_SOFTCOPY, own, uid("presentation series"), software_version)
        state.Modality = "PR"
        state.SeriesNumber = series_number(series.headers[0], SERIES_OFFSET)
        state.SeriesDescription = series_description("Spine lines (computed)", segmentation.variant)
        state.BodyPartExamined = "SPINE"
        state.InstanceNumber = number
        state.ContentLabel = "SPINE"
        state.ContentDescription = (
            f"Measured lines within {OFF_SLICE_MM:g} mm and {LEAN_DEG:g} deg of the slice"
        )
        state.ContentCreatorName = "Node^Spine"
        state.PresentationCreationDate, state.PresentationCreationTime = content_moment(series.headers[0])
        frames = [series.frames[index] for index in sorted({drawing.slice for drawing in some})]
        state.ReferencedSeriesSequence = [_series_item(series, frames)]
        state.DisplayedAreaSelectionSequence = [_whole_image(series)]
        state.GraphicAnnotationSequence = [_annotation(series, drawing) for drawing in some]
        state.GraphicLayerSequence = list(_layers({drawing.layer for drawing in some}))
        state.RescaleSlope, state.RescaleIntercept = _ds(rescale)
        values = _group(series, frames[0], "PixelValueTransformationSequence")
        state.RescaleType = str(values.get("RescaleType") or "US")
        state.SoftcopyVOILUTSequence = list(_windows(series, frames))
        # PS3.3 C.11.6: the state's own shape replaces what MONOCHROME1 implies.
        inverse = series.headers[0].get("PhotometricInterpretation") == "MONOCHROME1"
        state.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"
        finish(state, series.headers[0])
        del state.ContentDate, state.ContentTime  # a presentation state has a creation date instead
        states.append(state)
    return tuple(states)


def _series_item(series: ImageSeries, frames: Sequence[Frame]) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = series.series_uid
    item.ReferencedImageSequence = list(_references(series, frames))
    return item


def _references(series: ImageSeries, frames: Sequence[Frame]) -> Iterable[Dataset]:
    """An item for each of these slices, or one with their frame numbers."""
    if series.multiframe:
        yield reference(series.headers[0], sorted(frame.number + 1 for frame in frames))
    else:
        yield from (reference(series.headers[frame.header]) for frame in frames)


def _whole_image(series: ImageSeries) -> Dataset:
    item = Dataset()
    item.DisplayedAreaTopLeftHandCorner = [1, 1]
    item.DisplayedAreaBottomRightHandCorner = [series.grid.shape[2], series.grid.shape[1]]
    item.PresentationSizeMode = "SCALE TO FIT"
    item.PresentationPixelSpacing = _ds(series.grid.spacing_mm[1:])
    return item


def _annotation(series: ImageSeries, drawing: Drawing) -> Dataset:
    item = Dataset()
    item.ReferencedImageSequence = list(_references(series, [series.frames[drawing.slice]]))
    item.GraphicLayer = drawing.layer
    item.TextObjectSequence = [_text(words, points) for words, points in drawing.texts]
    item.GraphicObjectSequence = [_polyline(points) for points in drawing.traces]
    return item


def _polyline(points: FloatArray) -> Dataset:
    item = Dataset()
    item.GraphicAnnotationUnits = "PIXEL"
    item.GraphicDimensions = 2
    item.NumberOfGraphicPoints = len(points)
    item.GraphicData = [float(v) for v in points.ravel()]
    item.GraphicType, item.GraphicFilled = "POLYLINE", "N"
    return item


def _text(words: str, points: FloatArray) -> Dataset:
    """Words at the right end of a lying line, at the upper end of a standing one."""
    wide, high = abs(points[-1] - points[0])
    end = points[points[:, 0].argmax() if wide >= high else points[:, 1].argmin()]
    item = Dataset()
    item.AnchorPointAnnotationUnits = "PIXEL"
    item.UnformattedTextValue = words
    item.AnchorPoint = [float(v) for v in end]
    item.AnchorPointVisibility = "N"
    return item


def _layers(used: set[str]) -> Iterable[Dataset]:
    for order, layer in enumerate(LAYERS, start=1):
        if layer.name in used:
            lightness, a, b = layer.cielab
            item = Dataset()
            item.GraphicLayer, item.GraphicLayerOrder = layer.name, order
            item.GraphicLayerRecommendedDisplayGrayscaleValue = 0xFFFF
            # PS3.3 C.10.7.1.1: L* of 0..100 and a*, b* of -128..127 fill 16 bits.
            item.GraphicLayerRecommendedDisplayCIELabValue = [
                round(lightness * 0xFFFF / 100),
                (a + 128) * 0x101,
                (b + 128) * 0x101,
            ]
            yield item


def _windows(series: ImageSeries, frames: Sequence[Frame]) -> Iterable[Dataset]:
    """An item for each window and the images it belongs to; one for all needs no images."""
    by_window: dict[Window, list[Frame]] = {}
    for frame in frames:
        by_window.setdefault(_window(_group(series, frame, "FrameVOILUTSequence")), []).append(frame)
    for (centre, width, function), some in by_window.items():
        item = Dataset()
        if len(by_window) > 1:
            item.ReferencedImageSequence = list(_references(series, some))
        item.WindowCenter, item.WindowWidth = _ds((centre, width))
        item.VOILUTFunction = function
        yield item


def _window(source: Dataset) -> Window:
    """The first window of an image, or that for bone where it states none that can be used."""
    try:
        centre, width = (_first(source.get(keyword)) for keyword in ("WindowCenter", "WindowWidth"))
    except (TypeError, ValueError, IndexError):
        return BONE_WINDOW
    function = str(source.get("VOILUTFunction") or "LINEAR")
    known = function if function in ("LINEAR", "LINEAR_EXACT", "SIGMOID") else "LINEAR"
    return (centre, width, known) if width >= 1 else BONE_WINDOW


def _first(value: object) -> float:
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return float(values[0])  # type: ignore[arg-type]


def _group(series: ImageSeries, frame: Frame, keyword: str) -> Dataset:
    """Where a slice keeps its grey scale: the header, or a functional group."""
    header = series.headers[frame.header]
    return functional_group(header, frame.number, keyword) if series.multiframe else header


def _ds(numbers: Iterable[float]) -> list[DSfloat]:
    return [DSfloat(float(n), auto_format=True) for n in numbers]
