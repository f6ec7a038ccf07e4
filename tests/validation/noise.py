"""Findings of validators that are no defects of the object, each with the reason.

A reason names the place in the standard, or what the program cannot know. Complaints about the source
images are not here: the node does not write those.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """A finding to leave out.

    Attributes
    ----------
    validator : str
        The function in `validators` that reports it.
    pattern : str
        Regular expression, searched in the line.
    reason : str
    """

    validator: str
    pattern: str
    reason: str


_NO_TEMPLATE_2010 = r"^W: Check for template constraints not yet supported$"
_UTF8 = r"The VR checker does not support this Specific Character Set: ISO_IR 192"

KNOWN = (
    Known(
        "dciodvfy",
        r"^Warning .*CodingSchemeDesignator\(0008,0102\)\[n\]> - Unrecognized defined term = <99SPINE3D>$",
        "PS3.3 8.2: designators that begin with 99 are private. The list of defined terms that dciodvfy has "
        "cannot hold ours; Coding Scheme Identification Sequence names it, as 8.2 recommends.",
    ),
    Known(
        "dciodvfy",
        r"^Warning - </CodingSchemeIdentificationSequence\(0008,0110\).*CodingSchemeUID\(0008,010c\)\[n\]> - "
        r"Unrecognized defined term",
        "PS3.3 Table C.12-1: Coding Scheme UID is the scheme's own; that of a private one is in no list.",
    ),
    Known(
        "dsrdump",
        _UTF8,
        "PS3.3 C.12.1.1.2 defines ISO_IR 192; dcmtk 3.6.7 says that it checks no value in it.",
    ),
    Known("dsr2html", _UTF8, "As for dsrdump."),
    Known(
        "tid1500reader",
        r"^W: "
        + _UTF8
        + r"$|^Warning: For now, (FindingSite|Measurement Method) modifier is interpreted only at the "
        r"MeasurementGroup level\.$",
        "PS3.16 TID 1419 allows both below each measurement; the reader passes over them, and says so.",
    ),
    Known(
        "dcentvfy",
        r"for attribute - Element=<AccessionNumber> IE (<Study> versus <Series>|<Series> versus <Study>)",
        "PS3.3 C.17.2: an item of Referenced Request Sequence has an Accession Number too, of the request. "
        "dcentvfy finds the element in another entity than the study's; the values are equal.",
    ),
    Known("dsrdump", _NO_TEMPLATE_2010, "dcmtk says that it cannot check the template of a key object."),
    Known("dsr2html", _NO_TEMPLATE_2010, "As for dsrdump."),
    Known(
        "dciodvfy",
        r"^Error .*ReferencedSegmentNumber\(0062,000b\)> - Shall not be present for Referenced SOP "
        r"Class that is not segmentation$",
        "PS3.3 10.3: Referenced Segment Number is for a referenced Segmentation. Label Map Segmentation "
        "Storage is one too (PS3.4 B.5); the condition in dciodvfy was written before it.",
    ),
    Known(
        "segimage2itkimage",
        r"^W: (Pixel value 0 is not described by any Segment|Pixel Padding Value \(0\) does not reference)",
        "An accepted departure from PS3.3 C.8.20.2.3.3, where a segment describes every pixel value of a "
        "LABELMAP: with one for the background, OHIF shows every segment in the colour of its neighbour "
        "(tests/viewers/README.md). Pixel Padding Value says what 0 is (C.7.5.1.1.2).",
    ),
    Known(
        "pixelmed_instance",
        r"SpecificCharacterSet/value\[1\]: Unrecognized defined term :ISO_IR 192:",
        "PS3.3 C.12.1.1.2 defines ISO_IR 192; PixelMed's tables of 2022 lack it.",
    ),
    Known(
        "pixelmed_instance",
        r"GeneralSeriesModule/Laterality/: : Missing conditional attribute",
        "PS3.3 C.7.3.1: required where the body part examined is a paired structure. A spine is not one.",
    ),
    Known(
        "pixelmed_report",
        r"^Error: Template 1411 .*\[Row (5|7|10)\] .*: within [\d.]+: .*: Missing conditional content item$",
        "PS3.3 C.18.8: Content Template Sequence says that the group follows TID 1501, without a region; "
        "PixelMed tries TID 1411 on every group. tests/dicom holds groups of vertebrae to TID 1411.",
    ),
    Known(
        "pixelmed_report",
        r"^Error: Template 1419 .*\[Row (6|13|14)\] (NUM|CODE) \*: .*: Incorrect relationship - expected "
        r"(INFERRED FROM|HAS CONCEPT MOD) - found HAS PROPERTIES$",
        "PS3.16 TID 1419 includes TID 310, and with it 311 (uncertainty) and 312 (normal range), by HAS "
        "PROPERTIES; PixelMed holds any number below a measurement for the row of any name.",
    ),
    Known(
        "pixelmed_report",
        r"^Warning: .*: Content Item not in template$",
        "PS3.16: content may be added to an extensible template, which 1411, 1419 and 1501 are.",
    ),
    Known(
        "pixelmed_report",
        r"Code \(121232,DCM,.*has different code meaning",
        "PS3.3 8.3: Code Meaning is for people, no key; the two differ in a capital letter.",
    ),
)

UNABLE = (
    Known(
        "dsrdump",
        r"-on-seg-labelmap",
        "dcmtk 3.6.7 does not know Label Map Segmentation Storage, and reads no report that refers to one.",
    ),
    Known("dsr2html", r"-on-seg-labelmap", "As for dsrdump."),
)
"""Programs that cannot read an object, for a reason of theirs; the pattern is that of the file's name."""
