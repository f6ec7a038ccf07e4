"""Which of its results the node hands out to who asks, and the index of them.

The node makes a result in as many forms as its destinations may take; a retriever would take twins for two
findings. So each result is found and retrieved in one form:

- the order of forms is that of the first destination's profile; results that it does not get come in the
  order of the next destination that gets them; without destinations, the default profile's order holds;
- among what the unique keys of a question select, the first form in that order is the one there is; who
  names the series or the instances of another form gets that one;
- a retriever that takes no context for a form gets the next that it takes whole (`network.held.chosen`).

Results that others have superseded are not served at all, nor are notices of series that were not analysed.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset, read_partial
from pydicom.tag import BaseTag, Tag

from spine_node.config import Settings
from spine_node.dicom.forms import NOTICE, Product, kind_of
from spine_node.ledger.holdings import Holding, Holdings
from spine_node.logs import logger
from spine_node.network.held import HeldFile, HeldForm, HeldResult, Selection
from spine_node.network.identifiers import KEPT
from spine_node.network.matching import span
from spine_node.network.texts import texts
from spine_node.profiles import DEFAULT_PROFILE, load_profile
from spine_node.results import DONE, read_done

log = logger("served")

_LONG_GROUPS = 0x5000  # all that is kept comes before them; groups a frame and pixels are behind


class Served:
    """What the node holds of its own results, for `network.query_scp` and `network.retrieve_scp`."""

    def __init__(self, settings: Settings, holdings: Holdings) -> None:
        self._folder = settings.storage.results
        self._holdings = holdings
        self._products = {p.name: p for p in _in_order(settings)}
        self._rank = {name: rank for rank, name in enumerate(self._products)}

    def held(self, selection: Selection) -> Sequence[Holding]:
        """See `network.held.Holder`."""
        found = self._select(selection)
        if selection.sop_instance_uids:
            return found
        return [holding for forms in self._results(found) for holding in next(iter(forms.values()))]

    def headers(self, sop_instance_uids: Collection[str]) -> dict[str, Dataset]:
        """See `network.held.Holder`."""
        return {uid: _decoded(text) for uid, text in self._holdings.headers(sop_instance_uids).items()}

    def results(self, selection: Selection) -> list[HeldResult]:
        """See `network.held.Holder`."""
        found = self._select(selection)
        if selection.sop_instance_uids:  # each is asked for by its own name, and stands for itself
            alone = [HeldForm(h.product, "", (self._file(h),)) for h in found]
            return [HeldResult(h.job, (form,)) for h, form in zip(found, alone, strict=True)]
        return [
            HeldResult(
                next(iter(forms.values()))[0].job,
                tuple(
                    HeldForm(name, self._beside(name), tuple(self._file(h) for h in holdings))
                    for name, holdings in forms.items()
                ),
            )
            for forms in self._results(found)
        ]

    def _select(self, selection: Selection) -> list[Holding]:
        return self._holdings.select(**asdict(selection))

    def _results(self, found: Sequence[Holding]) -> Iterator[dict[str, list[Holding]]]:
        """Each result in its forms, the best first; what is referred to before what refers to it."""
        results: dict[tuple[str, str], dict[str, list[Holding]]] = {}
        for holding in sorted(found, key=self._order):
            forms = results.setdefault((holding.job, _kind(holding.product)), {})
            forms.setdefault(holding.product, []).append(holding)
        yield from results.values()

    def _order(self, holding: Holding) -> tuple[Any, ...]:
        rank = self._rank.get(holding.product, len(self._rank))
        return (-holding.made_at, holding.job, rank, holding.product, len(holding.path), holding.path)

    def _beside(self, name: str) -> str:
        product = self._products.get(name)
        return product.seg.name if product is not None and product.seg is not None else ""

    def _file(self, holding: Holding) -> HeldFile:
        return HeldFile(
            self._folder / holding.path,
            holding.sop_instance_uid,
            holding.sop_class_uid,
            holding.transfer_syntax_uid,
        )


def enter(holdings: Holdings, results: Path, job: str) -> None:
    """Enter the complete results of a job into the index; entering them again changes nothing."""
    done = read_done(results / job)
    if done is None:
        raise FileNotFoundError(f"{results / job} holds no complete results")
    made_at = (results / job / DONE).stat().st_mtime
    holdings.put(
        job,
        [
            _read(results, job, product, row["file"], made_at)
            for product, rows in done["objects"].items()
            if product != NOTICE
            for row in rows
        ],
    )


def enter_if_readable(holdings: Holdings, results: Path, job: str) -> bool:
    """Enter the results of a job, or say in the log why they are not served; whether they are.

    Nothing else waits for the index: it is made anew of the folders when the node starts.
    """
    try:
        enter(holdings, results, job)
    except (OSError, ValueError, AttributeError, KeyError, InvalidDicomError) as problem:
        log.error("results_not_served", job=job, reason=f"{type(problem).__name__}: {problem}")
        return False
    return True


def rebuild(holdings: Holdings, results: Path, *, anew: bool = False) -> int:
    """Bring the index in line with the results folders; gives how many jobs were entered.

    Parameters
    ----------
    anew : bool
        Read every folder again, and not only those that the index lacks.
    """
    known = holdings.jobs()  # first: what is entered meanwhile stays
    there = {path.parent.name for path in results.glob(f"*/{DONE}") if not path.parent.name.startswith(".")}
    for job in known - there:
        holdings.remove(job)
    return sum(enter_if_readable(holdings, results, job) for job in sorted(there if anew else there - known))


def _in_order(settings: Settings) -> list[Product]:
    """All products that the node makes, the best form of each first; reports behind what they refer to."""
    offers = [peer.offers() for peer in settings.destinations] or [load_profile(DEFAULT_PROFILE).offers()]
    return list(dict.fromkeys(p for offer in offers for forms in offer for p in forms))


def _kind(product: str) -> str:
    form: Any = product
    return kind_of(form)


def _read(results: Path, job: str, product: str, file: str, made_at: float) -> tuple[Holding, str]:
    path = results / job / file
    with path.open("rb") as stream:
        header = read_partial(stream, _is_long, specific_tags=[Tag(keyword) for keyword in KEPT])

    def first(keyword: str) -> str:
        return next(iter(texts(header, keyword)), "")

    holding = Holding(
        sop_instance_uid=first("SOPInstanceUID"),
        job=job,
        product=product,
        sop_class_uid=first("SOPClassUID"),
        transfer_syntax_uid=str(header.file_meta.TransferSyntaxUID),
        patient_id=first("PatientID"),
        study_uid=first("StudyInstanceUID"),
        series_uid=first("SeriesInstanceUID"),
        accession_number=first("AccessionNumber"),
        study_date=_date(first("StudyDate")),
        modality=first("Modality"),
        path=f"{job}/{file}",
        made_at=made_at,
    )
    if not all((holding.sop_instance_uid, holding.sop_class_uid, holding.series_uid, holding.study_uid)):
        raise ValueError(f"{path} lacks a UID of its class, instance, series or study")
    return holding, _encoded(header)


def _is_long(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group >= _LONG_GROUPS


def _date(text: str) -> str:
    try:
        return span("DA", text)[0]
    except ValueError:
        return ""


def _encoded(header: Dataset) -> str:
    """A header as the index keeps it: names keep their bytes, whatever character set they are in."""
    tags = header.keys()  # iteration would decode the elements
    kept = Dataset({tag: header.get_item(tag) for tag in tags})
    kept.set_original_encoding(*header.original_encoding, header.original_character_set)
    buffer = io.BytesIO()
    kept.save_as(buffer, implicit_vr=False, little_endian=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _decoded(text: str) -> Dataset:
    return read_dataset(io.BytesIO(base64.b64decode(text)), is_implicit_VR=False, is_little_endian=True)
