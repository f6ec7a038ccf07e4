"""From what was found to the DICOM objects that leave the node: each product in the forms that are wanted.

What several products share (pictures, surfaces, segmentations) is made once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

from pydicom import Dataset
from trimesh import Trimesh

from spine_node.anatomy.landmarks import Spine
from spine_node.dicom.checks import check_geometry
from spine_node.dicom.code_overrides import NO_OVERRIDES, CodeOverrides
from spine_node.dicom.encapsulated_stl import write_encapsulated_stl
from spine_node.dicom.forms import CONTEXT_OF, SEG_FORMS, SR_FORMS, Form, Product
from spine_node.dicom.key_images import write_key_images
from spine_node.dicom.key_object import write_key_object
from spine_node.dicom.presentation import write_presentations
from spine_node.dicom.report_pdf import heading_of, write_report_pdf
from spine_node.dicom.seg import write_segs
from spine_node.dicom.series import ImageSeries
from spine_node.dicom.sr import write_sr
from spine_node.imaging.picture import Picture
from spine_node.imaging.volume import Volume
from spine_node.logs import logger
from spine_node.parameters.model import Measurements
from spine_node.pictures.aside import Drawing
from spine_node.pictures.pictures import draw_pictures
from spine_node.pictures.report_page import report_pdf
from spine_node.printing.meshes import meshes
from spine_node.segmentation.segmenter import Segmentation

Instances = tuple[Dataset, ...]

_OF_PICTURES: tuple[Form, ...] = ("key-images", "key-images-multiframe", "key-object", "report-pdf")

log = logger("objects")


class _Objects(Mapping[str, Instances]):
    """Instances by the name of their product, in the order of the products."""

    def __init__(self, makers: dict[str, Callable[[], Instances]]) -> None:
        self._makers = makers

    def __getitem__(self, name: str) -> Instances:
        return self._makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


@dataclass(frozen=True, eq=False)
class Findings:
    """What one series came to.

    Attributes
    ----------
    series : ImageSeries
    volume : Volume
    segmentation : Segmentation
    spine : Spine
    measurements : Measurements
    software_version : str
    predecessors : tuple of Dataset
        Headers of earlier reports that those of this series supersede.
    overrides : CodeOverrides
        A hospital's codes in the place of ours.
    drawing : Drawing, optional
        The pictures in the making, by a second process.
    """

    series: ImageSeries
    volume: Volume
    segmentation: Segmentation
    spine: Spine
    measurements: Measurements
    software_version: str
    predecessors: Instances = ()
    overrides: CodeOverrides = NO_OVERRIDES
    drawing: Drawing | None = None
    _one_draws: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def pictures(self) -> list[Picture]:
        """With every number drawn where it was measured; for any thread that wants them."""
        with self._one_draws:
            return self._pictures

    @cached_property
    def _pictures(self) -> list[Picture]:
        drawn = None if self.drawing is None else self.drawing.pictures()
        if drawn is not None:
            return drawn
        return draw_pictures(self.volume, self.segmentation.label_map, self.spine, self.measurements)

    @cached_property
    def surfaces(self) -> dict[str, Trimesh]:
        """Of each structure, LPS mm."""
        return meshes(self.segmentation.label_map)

    def objects(self, products: Sequence[Product]) -> Mapping[str, Instances]:
        """The instances of each product by its name; none where there was nothing to put into one.

        What holds pictures is made when somebody looks at it: they may still be drawn.

        Raises
        ------
        LabelMapRefused
            If nothing is labelled.
        """
        made: dict[Product, Instances] = {}
        for product in products:
            if product.form not in _OF_PICTURES:
                self._add(product, made)
        return _Objects({p.name: partial(self._add, p, made) for p in dict.fromkeys(products)})

    def _add(self, product: Product, made: dict[Product, Instances]) -> Instances:
        if product not in made:
            made[product] = self._made(product, made)
        return made[product]

    def _made(self, product: Product, made: dict[Product, Instances]) -> Instances:
        found = (self.series, self.segmentation)
        version = {"software_version": self.software_version}
        if product.form in SEG_FORMS:
            segs = write_segs(
                *found, form=product.form, parts=product.parts, most_frames=product.most_frames, **version
            )
            check_geometry(segs, self.segmentation.label_map)
            _, rows, columns = self.series.grid.shape
            if product.form == "seg-binary" and rows * columns % 8:
                log.warning(
                    "seg_frames_begin_inside_bytes",
                    series_uid=self.series.series_uid,
                    rows=rows,
                    columns=columns,
                    meaning="OHIF 3.13 shows such a BINARY SEG scrambled; profile ohif sends LABELMAP",
                )
            return segs
        if product.form in SR_FORMS:
            segs = self._add(product.seg or Product("seg-binary"), made)
            report = write_sr(
                self.series, self.measurements, segs, self.segmentation,
                form=product.form, predecessors=self._superseded_by(product.form), overrides=self.overrides,
                **version,
            )  # fmt: skip
            return (report,)
        makers: dict[Form, Callable[[], Instances]] = {
            "key-images": lambda: write_key_images(self.series, self.pictures, self.segmentation, **version),
            "key-images-multiframe": lambda: write_key_images(
                self.series, self.pictures, self.segmentation, multiframe=True, **version
            ),
            "key-object": lambda: (
                write_key_object(
                    self.series, self._add(Product("key-images"), made), self.segmentation, **version
                ),
            ),
            "report-pdf": lambda: (
                write_report_pdf(self.series, self.page, self.segmentation, **version),
            ),
            "presentation": lambda: write_presentations(
                self.series, self.measurements, self.segmentation, **version
            ),
            "stl": lambda: write_encapsulated_stl(
                self.series, self.surfaces, self.segmentation, assembled=True, **version
            ),
            "stl-parts": lambda: write_encapsulated_stl(
                self.series, self.surfaces, self.segmentation, assembled=False, **version
            ),
        }  # fmt: skip
        return makers[product.form]()

    def _superseded_by(self, form: Form) -> Instances:
        """The earlier reports of the same SOP class: a PACS that takes this form has those, if any."""
        sop_class, _ = CONTEXT_OF[form]
        same = tuple(older for older in self.predecessors if older.SOPClassUID == sop_class)
        return same or self.predecessors

    @cached_property
    def page(self) -> bytes:
        """The report as one page of PDF."""
        heading = heading_of(self.series.headers[0])
        return report_pdf(self.pictures, self.measurements, heading, standing=self.series.standing)
