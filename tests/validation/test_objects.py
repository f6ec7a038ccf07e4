"""Everything that can leave the node, before every validator that there is for it: no finding."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from spine_node.dicom.forms import Product
from tests.validation.conftest import SOURCES
from tests.validation.everything import PRODUCTS, Study, save
from tests.validation.noise import KNOWN
from tests.validation.validators import (
    above_noise,
    dcentvfy,
    dsr2html,
    dsrdump,
    findings,
    judges_of,
    pixelmed_instance,
    pixelmed_report,
)

MAY_BE_EMPTY = {"presentation"}
"""A source in other planes has no lines to show."""


@pytest.mark.dcmtk
@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.name)
@pytest.mark.parametrize("source", SOURCES)
def test_no_validator_finds_anything(study_of: Callable[[str], Study], source: str, product: Product) -> None:
    paths = study_of(source).objects(product)
    assert paths or product.form in MAY_BE_EMPTY
    found = [f"{path.name}: {line}" for path in paths for line in findings(path)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("source", SOURCES)
def test_all_objects_agree_with_their_source_and_with_each_other(
    study_of: Callable[[str], Study], source: str
) -> None:
    study = study_of(source)
    found = above_noise("dcentvfy", dcentvfy([*study.everything, *study.images]))
    assert not found, "\n".join(found)


PIXELMED_KNOWS = ("seg-binary", "key-images", "key-object")
"""PixelMed's tables are of 2022; the JVM needs ten seconds for each object."""


@pytest.mark.pixelmed
@pytest.mark.parametrize("form", PIXELMED_KNOWS)
def test_pixelmed_finds_nothing(phantom: Study, form: str) -> None:
    path = phantom.objects(Product(form))[0]  # type: ignore[arg-type]
    found = above_noise("pixelmed_instance", pixelmed_instance(path))
    assert not found, "\n".join(found)


@pytest.mark.pixelmed
def test_pixelmed_finds_nothing_in_a_short_report(phantom: Study, tmp_path: Path) -> None:
    """One number of each kind of group: PixelMed cannot read all 900 (see `pixelmed_report`)."""
    found = phantom.findings
    few = {p.key: p for p in found.measurements.parameters if p.key in SHORT}
    short = dataclasses.replace(
        found.measurements,
        parameters=tuple(few.values()),
        not_measured=found.measurements.not_measured[:1],
        classes=found.measurements.classes[:1],
    )
    assert set(few) == SHORT
    made = dataclasses.replace(found, measurements=short).objects([Product("sr-3d")])
    (path,) = save(made["sr-3d"], "short", tmp_path)
    told = above_noise("pixelmed_report", pixelmed_report(path))
    assert not told, "\n".join(told)


SHORT = {"PI", "COBB", "AVT", "AVR", "VBH_ANT", "V_VOL", "DH_ANT", "SLIP_MM"}


@pytest.mark.dcmtk
def test_every_finding_of_the_noise_list_still_occurs(phantom: Study) -> None:
    """What no program says any more has no place in the list."""
    told: dict[str, list[str]] = {"dcentvfy": dcentvfy([*phantom.everything, *phantom.images])}
    listed = {known.validator for known in KNOWN}
    for path in phantom.everything:
        for judge in judges_of(path):
            if judge.__name__ in listed:
                told.setdefault(judge.__name__, []).extend(judge(path))
    stale = [
        known
        for known in KNOWN
        if known.validator in told
        and not any(re.search(known.pattern, line) for line in told[known.validator])
    ]
    assert stale == []


@pytest.mark.dcmtk
@pytest.mark.parametrize("judge", [dsrdump, dsr2html], ids=lambda judge: judge.__name__)
def test_those_who_are_excused_are_still_unable(phantom: Study, judge: Callable[[Path], list[str]]) -> None:
    """A dcmtk that reads reports on a LABELMAP should judge them."""
    (path,) = phantom.objects(Product("sr-3d", seg=Product("seg-labelmap")))
    assert any("Invalid or unknown image SOP class" in line for line in judge(path))
