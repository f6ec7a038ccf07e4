"""UIDs of what is made of one segmentation: the same content has the same UIDs, any other content others.

The sources, the patient, the model, the software and what a person has fixed say how a result was made;
digests say what it is, as the same weights give another label map on another device or after a change of
settings. A corrected identity makes another result: under one UID it would be two.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spine_node.dicom.fingerprint import identity_fingerprint
from spine_node.dicom.identity import result_uid
from spine_node.dicom.series import ImageSeries
from spine_node.segmentation.segmenter import Segmentation


@dataclass(frozen=True, slots=True)
class ResultUids:
    """From a kind and whatever else distinguishes a result to its UID."""

    sources: tuple[str, ...]
    model_sha256: str
    software_version: str
    made_of: tuple[str, ...]

    def __call__(self, kind: str, *extra: str) -> str:
        return result_uid(kind, self.sources, self.model_sha256, self.software_version, *self.made_of, *extra)


def result_uids(series: ImageSeries, segmentation: Segmentation, software_version: str) -> ResultUids:
    """The UIDs of the results of one segmentation of one series."""
    model = segmentation.model
    whose = identity_fingerprint(series.headers[0])
    made_of = (model.name, model.version, whose, segmentation.digest, *filter(None, [segmentation.variant]))
    return ResultUids(tuple(series.sop_instance_uids), model.sha256, software_version, made_of)


def digest_of(*contents: str | bytes | NDArray[np.uint8]) -> str:
    """What stands for texts, bytes and pixels in a UID."""
    digest = hashlib.blake2b(digest_size=16)
    for content in contents:
        data = content.encode() if isinstance(content, str) else bytes(content)
        digest.update(f"{len(data)} ".encode())
        digest.update(data)
    return digest.hexdigest()
