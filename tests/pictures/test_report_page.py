"""The report: one page that says everything a surgeon reads first, and what is doubtful before it."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from pypdf import PdfReader
from pypdf.generic import ContentStream

from spine_node.imaging.picture import Picture
from spine_node.parameters.measure import measure
from spine_node.parameters.model import Classification, LevelIdentification, Measurements, NotMeasured
from spine_node.pictures import report_rows
from spine_node.pictures.paper import Paper
from spine_node.pictures.report_page import MOST_CURVES, report_pdf
from spine_node.pictures.report_rows import CORONAL_ROWS, SAGITTAL_ROWS
from tests.pictures.drawn_people import person

HEADING = {
    "Patient ID": "0815",
    "Patient name": "M\u00fcller^Anna",
    "Study date": "2026-11-02",
    "Model": "spinenet 1.2",
    "Software": "Spine Node 9.9",
}


@pytest.fixture(scope="module")
def measured() -> Measurements:
    return measure(person())


@pytest.fixture(scope="module")
def pictures(measured: Measurements) -> list[Picture]:
    """Small ones of the right names, each of one colour."""
    cobbs = [p for p in measured.parameters if p.key == "COBB"]
    names = ["coronal", "sagittal", "spine-3d", *(f"axial-{p.apex}" for p in cobbs), "heights"]
    shades = enumerate(names, start=1)
    return [Picture(n, n, np.full((80, 60, 3), 20 * k, np.uint8), image_columns=40) for k, n in shades]


def read(pdf: bytes) -> PdfReader:
    return PdfReader(io.BytesIO(pdf), strict=True)


def text_of(
    measurements: Measurements, heading: Mapping[str, str] = HEADING, pictures: tuple[Picture, ...] = ()
) -> str:
    pages = read(report_pdf(pictures, measurements, heading, standing=True)).pages
    assert len(pages) == 1
    return pages[0].extract_text()


def test_all_that_a_surgeon_reads_first_is_there(measured: Measurements) -> None:
    text = text_of(measured)
    rows = [*report_rows.rows(measured, SAGITTAL_ROWS), *report_rows.rows(measured, CORONAL_ROWS)]
    assert len(rows) > 20
    for row in rows:
        assert f"{row.name} {row.value} {row.spread}".strip() in text
    for curve in (p for p in measured.parameters if p.key == "COBB"):
        assert f"{curve.upper}\u2013{curve.lower} {curve.apex} {str(curve.side)[0].upper()}" in text
        assert f"{curve.value:.1f}\u00b0" in text
    for found in measured.classes:
        if found.key.startswith(("SCHWAB", "GAP", "ROUSS")):
            assert f": {found.value}" in text
    assert "32 \u2013 74" in text  # normal range of PI


def test_it_says_whose_it_is_and_that_nobody_verified_it(measured: Measurements) -> None:
    text = text_of(measured)
    for word in ("0815", "M\u00fcller^Anna", "2026-11-02", "spinenet 1.2, Spine Node 9.9"):
        assert word in text
    assert "PRELIMINARY \u2013 NOT VERIFIED" in text
    assert "Computed by Spine Node - preliminary, not verified. For research, not for diagnosis." in text


def test_a_number_outside_its_normal_range_is_marked(measured: Measurements) -> None:
    def tilted(value: float) -> str:
        changed = tuple(replace(p, value=value) if p.key == "PT" else p for p in measured.parameters)
        return text_of(replace(measured, parameters=changed))

    legend = 1
    within, above, below = tilted(12.0), tilted(31.0), tilted(-4.0)
    base = within.count("\u25b2"), within.count("\u25bc")
    assert (above.count("\u25b2"), above.count("\u25bc")) == (base[0] + 1, base[1])
    assert (below.count("\u25b2"), below.count("\u25bc")) == (base[0], base[1] + 1)
    assert min(base) >= legend


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("\u5c71\u7530^\u592a\u90ce", "Chinese or Japanese"),
        ("\u05db\u05d4\u05df^\u05d3\u05d5\u05d3", "from right to left"),
        ("\u0e2a\u0e21\u0e0a\u0e32\u0e22", "Thai, with marks over letters"),
    ],
)
def test_a_name_that_cannot_be_drawn_is_left_out_aloud(measured: Measurements, name: str, why: str) -> None:
    """Never boxes, never letters in the wrong order."""
    text = text_of(measured, HEADING | {"Patient name": name})
    assert "Not shown, as this page's font lacks their letters: Patient name." in text, why
    assert not any(letter in text for letter in name if letter != "^")
    assert "0815" in text


def test_letters_of_europe_are_drawn(measured: Measurements) -> None:
    """Also where an accent comes as a character of its own."""
    names = (
        "Nov\u00e1k^Ji\u0159\u00ed",
        "\u0418\u0432\u0430\u043d\u043e\u0432",
        "\u03a0\u03b1\u03c0\u03ac",
        "Zo\u0065\u0308",
    )
    text = text_of(measured, {f"Name {k}": name for k, name in enumerate(names)})
    assert "Not shown" not in text
    for name in names:
        assert unicodedata.normalize("NFC", name) in text


def crowded(measured: Measurements) -> Measurements:
    """More of everything than a page can hold."""
    cobb = next(p for p in measured.parameters if p.key == "COBB")
    small = [
        replace(cobb, upper=f"T{k}", apex=f"T{k + 1}", lower=f"T{k + 2}", value=10.0) for k in range(1, 10)
    ]
    return replace(
        measured,
        parameters=(*small, *measured.parameters),
        frame="SCANNER",
        levels=LevelIdentification(0.2, "one level further down", (), True),
        quality=tuple(f"Remark number {k} is {'long ' * 30}." for k in range(30)),
        not_measured=tuple(
            NotMeasured("DHI", f"{k} reasons {'and more ' * 9}", f"T{k}") for k in range(1, 13)
        ),
        classes=measured.classes
        + tuple(Classification("MEYERDING", "II", level=f"T{k}/T{k + 1}") for k in range(1, 12)),
    )


def test_it_is_one_page_whatever_was_found_and_doubts_come_first(measured: Measurements) -> None:
    heading = {f"Label {k}": "text " * k for k in range(1, 30)}
    text = text_of(crowded(measured), heading)
    for words in ("LEVELS UNCERTAIN", "one level further down", "ESTIMATED frame", "more lines"):
        assert words in text
    assert text.index("LEVELS UNCERTAIN") < text.index("Sagittal alignment")
    largest = max((p for p in measured.parameters if p.key == "COBB"), key=lambda p: abs(p.value))
    curves = text[text.index("Curves") : text.index("Classes")]
    assert f"{largest.upper}\u2013{largest.lower}" in curves
    count = sum(p.key == "COBB" for p in measured.parameters) + 9
    assert len(re.findall(r"^[TL]\d+\u2013[TL]\d+ ", curves, re.MULTILINE)) == MOST_CURVES
    assert f"and {count - MOST_CURVES} smaller ones" in curves
    assert "Not shown, for want of room" in text


def test_little_is_a_page_too() -> None:
    text = text_of(Measurements("PATIENT", "told", ()), {})
    assert "None was measured" in text
    assert "not verified" in text


def test_what_could_not_be_measured_is_told_with_its_reason(measured: Measurements) -> None:
    without = replace(
        measured,
        parameters=tuple(p for p in measured.parameters if p.key not in ("PI", "PI_3D")),
        not_measured=(NotMeasured("PI", "a femoral head is missing"),),
    )
    text = text_of(without)
    assert "Pelvic incidence PI \u2013" in text
    assert "PI: a femoral head is missing" in text


def test_only_who_stood_is_held_against_those_who_stood(measured: Measurements) -> None:
    """Lying lowers lordosis by 13 degrees: a normal range beside it would mislead."""
    stood, unknown, estimated = (
        read(report_pdf((), m, HEADING, standing=standing)).pages[0].extract_text()
        for m, standing in (
            (measured, True),
            (measured, None),
            (replace(measured, frame="SACRUM"), True),
        )
    )
    assert "32 \u2013 74" in stood
    for text in (unknown, estimated):
        assert "32 \u2013 74" not in text
        assert "\u25b2" not in text
        assert "Not held against normal ranges" in text


def test_four_pictures_without_their_words_stand_on_the_page(
    measured: Measurements, pictures: list[Picture]
) -> None:
    """Coronal, sagittal, 3D and the apex of the largest curve, in their proportions, within the margins."""
    page = read(report_pdf(pictures, measured, HEADING, standing=True)).pages[0]
    largest = max((p for p in measured.parameters if p.key == "COBB"), key=lambda p: abs(p.value))
    wanted = {p.name: int(p.rgb[0, 0, 0]) for p in pictures}
    images = [image.image for image in page.images]
    assert all(image is not None and image.size == (40, 80) for image in images)
    shades = [round(float(np.mean(np.asarray(image)))) for image in images]
    names = ("coronal", "sagittal", "spine-3d", f"axial-{largest.apex}")
    assert shades == pytest.approx([wanted[name] for name in names], abs=2)
    places = [
        operands
        for operands, operator in ContentStream(page.get_contents(), None).operations
        if operator == b"cm"
    ]
    for wide, _, _, tall, x, _ in (list(map(float, p)) for p in places):
        assert wide / tall == pytest.approx(40 / 80, rel=0.01)
        assert 28 < x < x + wide < 595 - 28


def test_the_same_input_gives_the_same_bytes(measured: Measurements, pictures: list[Picture]) -> None:
    first = report_pdf(pictures, measured, HEADING, standing=True)
    assert report_pdf(pictures, measured, HEADING, standing=True) == first
    assert b"2026-11-02T00:00:00+00:00" in first  # the study's date, and no other
    assert report_pdf(pictures, measured, HEADING | {"Study date": "20261103"}, standing=True) != first


def test_an_archive_can_keep_it(measured: Measurements) -> None:
    """PDF/A-2u: fonts embedded, colours defined, text to be found; metadata know nothing of the patient."""
    reader = read(report_pdf([], measured, HEADING, standing=True))
    root = reader.trailer["/Root"].get_object()
    metadata = root["/Metadata"].get_object().get_data().decode()
    assert "<pdfaid:part>2</pdfaid:part><pdfaid:conformance>U</pdfaid:conformance>" in metadata
    assert root["/OutputIntents"][0]["/S"] == "/GTS_PDFA1"
    for font in reader.pages[0]["/Resources"]["/Font"].get_object().values():
        (inner,) = font.get_object()["/DescendantFonts"]
        assert "/FontFile2" in inner.get_object()["/FontDescriptor"].get_object()
        assert "/ToUnicode" in font.get_object()
    for secret in ("0815", "Anna"):
        assert secret not in metadata + str(reader.metadata)


def test_a_line_is_cut_short_where_it_ends_and_not_before() -> None:
    paper = Paper("any")
    wide = paper.width("twelve words", 8)
    assert paper.write(0, 10, "twelve words", 8, "#000000", within=wide + 0.01) == wide
    assert paper.write(0, 10, "twelve words", 8, "#000000", within=wide - 1) <= wide - 1
    lines = paper.wrapped("a few words that are set in lines", 20, 8)
    assert len(lines) > 1
    assert all(paper.width(line, 8) <= 20 for line in lines)
    assert " ".join(lines) == "a few words that are set in lines"
