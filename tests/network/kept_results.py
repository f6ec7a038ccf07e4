"""Results folders as analyses leave them, with small objects of the right classes, and what serves them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from spine_node.config import Destination, Settings
from spine_node.dicom.forms import CONTEXT_OF, Form, kind_of
from spine_node.ledger import Ledger, database_url
from spine_node.ledger.holdings import Holdings
from spine_node.ledger.schema import jobs
from spine_node.network.peer import Peer
from spine_node.network.query_retrieve import query_retrieve
from spine_node.profiles import load_profile
from spine_node.served import Served, enter

MODALITIES = {"seg": "SEG", "sr": "SR", "key-images": "OT", "key-object": "KO", "report-pdf": "DOC",
              "presentation": "PR", "stl": "M3D"}  # fmt: skip

KOREAN = "Hong^Gildong=洪^吉洞=홍^길동"


def kept_object(path: Path, form: Form, sop_uid: str, series_uid: str, **header: Any) -> Path:
    """A small object of a form's class, in its syntax."""
    sop_class, syntax = CONTEXT_OF[form]
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = sop_class
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = sop_uid
    ds.SeriesInstanceUID, ds.Modality = series_uid, MODALITIES[kind_of(form)]
    ds.SeriesNumber, ds.InstanceNumber, ds.SeriesDescription = 900, 1, f"Spine {form}"
    ds.PatientID, ds.PatientName, ds.PatientBirthDate, ds.PatientSex = "T1", "Test^Serving", "19500102", "F"
    ds.StudyInstanceUID, ds.StudyDate, ds.StudyTime = "2.25.1", "20260102", "101530"
    ds.AccessionNumber, ds.StudyID, ds.ReferringPhysicianName = "A1", "1", "Ref^Doctor"
    for keyword, value in header.items():
        setattr(ds, keyword, value)
    if syntax == "1.2.840.10008.1.2.5":
        ds.Rows = ds.Columns = 4
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.NumberOfFrames = 1, "MONOCHROME2", 1
        ds.PixelData = encapsulate([b"\x01\0\0\0\x40" + bytes(59) + b"\xf1\x07"])
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


@dataclass
class Serving:
    """A node's results and index, and the service that hands them out."""

    folder: Path
    destinations: Sequence[Destination] = ()
    callers: dict[str, Peer] = field(default_factory=dict)
    most_matches: int = 100
    jobs: int = 0

    def __post_init__(self) -> None:
        self.settings = Settings.model_validate(
            {"storage": {"folder": self.folder}, "destinations": list(self.destinations)}
        )
        self.ledger = Ledger(database_url(self.folder / "node.sqlite"))
        self.holdings = Holdings(self.ledger.database)
        self.served = Served(self.settings, self.holdings)
        self.service = query_retrieve(self.served, "NODE", self.callers.get, self.most_matches)

    def keep(
        self, *products: str, profile: str = "generic", into: bool = True, **header: Any
    ) -> dict[str, list[str]]:
        """Results of one more job, all products of a profile or those named; gives UIDs by product.

        Each product is in a series of its own, with UIDs that tell the job and the product.
        """
        self.jobs += 1
        job, study = f"job{self.jobs}", header.get("StudyInstanceUID", f"2.25.{self.jobs}")
        header.setdefault("StudyInstanceUID", study)
        made = [p for forms in load_profile(profile).offers() for p in forms]
        objects: dict[str, list[dict[str, str]]] = {}
        for number, product in enumerate(made, start=1):
            if products and product.name not in products:
                continue
            series_uid = f"{study}.{self.jobs}.{number}"
            count = 2 if product.form == "key-images" else 1
            for n in range(1, count + 1):
                file, uid = f"dicom/{product.name}-{n}.dcm", f"{series_uid}.{n}"
                path = self.settings.storage.results / job / file
                kept_object(path, product.form, uid, series_uid, **{"InstanceNumber": n} | header)
                row = {"file": file, "sop_instance_uid": uid, "sop_class_uid": CONTEXT_OF[product.form][0]}
                objects.setdefault(product.name, []).append(row)
        done = self.settings.storage.results / job / "done.json"
        done.write_text(json.dumps({"study_uid": study, "objects": objects}))
        self.ledger.open_job(job, f"{study}.0", study, 40, self.folder)
        if into:
            enter(self.holdings, self.settings.storage.results, job)
        return {name: [row["sop_instance_uid"] for row in rows] for name, rows in objects.items()}

    def supersede(self, older: str, newer: str) -> None:
        """Results of another job take the place of a job's."""
        with self.ledger.database.engine.begin() as connection:
            connection.execute(jobs.update().where(jobs.c.job == older).values(superseded_by=newer))
