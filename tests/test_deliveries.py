"""Offers against answers: one form of each result arrives, whatever was interrupted and refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from spine_node.deliveries import Instance, Result, open_offers, results_of
from spine_node.dicom.forms import Product
from spine_node.network.scu import Alternative, Offer
from spine_node.profiles import load_profile

BINARY, LABELMAP = Product("seg-binary"), Product("seg-labelmap")


def instances(*uids: str) -> tuple[Instance, ...]:
    return tuple(Instance(Path(uid), uid) for uid in uids)


SEG = Result({"seg-labelmap": instances("1"), "seg-binary": instances("2.1", "2.2")}, {})


@pytest.mark.parametrize(
    ("outcomes", "left", "arrived"),
    [
        ({}, {"seg-labelmap": ["1"], "seg-binary": ["2.1", "2.2"]}, None),
        ({"1": "stored"}, None, "seg-labelmap"),
        ({"1": "warning"}, None, "seg-labelmap"),
        ({"1": "not accepted"}, {"seg-binary": ["2.1", "2.2"]}, None),
        ({"1": "not accepted", "2.1": "stored"}, {"seg-binary": ["2.2"]}, None),
        ({"1": "not accepted", "2.1": "stored", "2.2": "warning"}, None, "seg-binary"),
        ({"1": "refused", "2.1": "refused"}, None, None),
        # half of the worse form is there: it goes on, and the better one is not sent beside it
        ({"2.1": "stored"}, {"seg-binary": ["2.2"]}, None),
    ],
)
def test_one_form_of_a_result_is_left_until_it_has_arrived(
    outcomes: dict[str, str], left: dict[str, list[str]] | None, arrived: str | None
) -> None:
    expected = left and Offer(
        tuple(Alternative(name, tuple(Path(uid) for uid in uids)) for name, uids in left.items())
    )
    assert SEG.remaining(outcomes) == expected
    assert SEG.arrived(outcomes) == arrived


def test_reports_are_offered_beside_the_segmentation_they_refer_to() -> None:
    offers = load_profile("ohif").offers()
    made = {product.name: instances(product.name) for forms in offers for product in forms}
    both = {"sr-3d-on-seg-labelmap", "sr-3d", "sr-comprehensive-on-seg-labelmap", "sr-comprehensive"}
    for outcomes, expected in (
        ({}, both),
        ({"seg-labelmap": "stored"}, {name for name in both if name.endswith("labelmap")}),
        ({"seg-labelmap": "refused", "seg-binary": "stored"}, {"sr-3d", "sr-comprehensive"}),
        ({"seg-labelmap": "refused", "seg-binary": "refused"}, both),
    ):
        open_now, _ = open_offers(results_of(offers, made), outcomes)
        (report,) = (o for o in open_now if o.alternatives[0].name.startswith("sr"))
        assert {a.name for a in report.alternatives} == expected
        assert all(
            a.beside == ("seg-labelmap" if "labelmap" in a.name else "seg-binary")
            for a in report.alternatives
        )


def test_what_was_not_made_is_not_offered() -> None:
    """A destination joined after the analysis; no line lay in a slice for a presentation state."""
    results = results_of(((LABELMAP, BINARY), (Product("presentation"),)), {"seg-binary": instances("2")})
    assert [list(result.forms) for result in results] == [["seg-binary"]]


def test_pictures_may_be_declined_and_segmentation_and_report_may_not() -> None:
    offers = ((BINARY,), (Product("sr-3d", seg=BINARY),), (Product("key-images"),), (Product("report-pdf"),))
    made = {forms[0].name: instances(forms[0].name) for forms in offers}
    assert [result.essential for result in results_of(offers, made)] == [True, True, False, False]
