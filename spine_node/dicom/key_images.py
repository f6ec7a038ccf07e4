"""Pictures of a result as Secondary Capture images, which every viewer shows.

RGB, 8 bit, not compressed. Every picture refers to all images of its source: it is drawn from the whole
volume.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from spine_node.dicom.blanks import copy_loss, put_source_references
from spine_node.dicom.identity import MODEL_NAME, finish, series_description, series_number
from spine_node.dicom.result_uids import digest_of, result_uids
from spine_node.dicom.secondary_capture import label_frames, secondary_capture
from spine_node.dicom.series import ImageSeries
from spine_node.imaging.picture import Picture
from spine_node.segmentation.segmenter import ModelIdentity, Segmentation

SERIES_OFFSET = 3
"""After the SEG and the SR (`identity.series_number`)."""


def write_key_images(
    series: ImageSeries,
    pictures: Sequence[Picture],
    segmentation: Segmentation,
    *,
    software_version: str,
    multiframe: bool = False,
) -> tuple[Dataset, ...]:
    """A series of pictures, one instance each, or one multi-frame instance of all.

    A picture's title is its Image Comments, and its name in the Frame Label Vector of a multi-frame
    instance. The same input gives the same bytes.

    Parameters
    ----------
    series : ImageSeries
        What the pictures were drawn from.
    pictures : sequence of Picture
        In the order in which they are shown; each has its own name.
    segmentation : Segmentation
        For the model that made it.
    software_version : str
    multiframe : bool
        One instance with a frame a picture; those of other sizes stand in the middle of a frame that is
        filled up in the colour of their first pixel.

    Returns
    -------
    tuple of Dataset
        Empty without pictures.

    Raises
    ------
    ValueError
        If a picture is no RGB array, two have one name, or a title is not ASCII of at most 64 signs.
    """
    pictures = list(pictures)
    _check(pictures)
    if not pictures:
        return ()
    uid, model = result_uids(series, segmentation, software_version), segmentation.model

    form = ("multi-frame",) if multiframe else ()
    series_uid = uid("key image series", *form)
    if multiframe:
        whole = secondary_capture(
            _one_size([p.rgb for p in pictures]),
            uid("key images", digest_of(*(part for p in pictures for part in (p.name, p.rgb)))),
            series_uid,
            software_version,
            multiframe=True,
        )
        label_frames(whole, [p.name for p in pictures])
        whole.ImageComments = "\r\n".join(f"{n}. {p.title}" for n, p in enumerate(pictures, start=1))
        images = [whole]
    else:
        images = []
        for picture in pictures:
            own = uid("key image", digest_of(picture.name, picture.rgb))
            image = secondary_capture(picture.rgb, own, series_uid, software_version)
            image.ImageComments = picture.title
            images.append(image)
    for number, image in enumerate(images, start=1):
        image.SeriesNumber = series_number(series.headers[0], SERIES_OFFSET + 10 * multiframe)
        words = " ".join(["Spine key images", *form, "(computed)"])
        image.SeriesDescription = series_description(words, segmentation.variant)
        image.InstanceNumber = number
        image.BodyPartExamined = "SPINE"
        image.DerivationDescription = _derivation(model, software_version)
        copy_loss(series.headers, image)
        finish(image, series.headers[0])
        put_source_references(image, "SourceImageSequence", series)
    return tuple(images)


def _check(pictures: Sequence[Picture]) -> None:
    names = [p.name for p in pictures]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"pictures of one result must have different names, {twice} occur twice")
    for picture in pictures:
        if not picture.title.isascii() or not 0 < len(picture.title) <= 64:
            raise ValueError(f"the title of {picture.name!r} must be 1 to 64 ASCII signs: {picture.title!r}")


def _derivation(model: ModelIdentity, software_version: str) -> str:
    """A sentence without a date or a person."""
    made = f"{MODEL_NAME} {software_version}, model {model.name} {model.version}"
    return f"Drawn from the whole series by {made}. A computed result, not verified by a physician."[:1024]


def _one_size(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """A stack, shape (pictures, rows, columns, 3); smaller ones in the middle of their own margin."""
    shape = np.max([p.shape for p in pictures], axis=0)
    stack = np.empty((len(pictures), *shape), dtype=np.uint8)
    for frame, picture in zip(stack, pictures, strict=True):
        frame[:] = picture[0, 0]
        top, left = ((n - m) // 2 for n, m in zip(shape[:2], picture.shape[:2], strict=True))
        frame[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return stack
