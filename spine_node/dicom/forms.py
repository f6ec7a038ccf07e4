"""The forms in which results leave the node, and which of them a destination gets.

A destination wants a list of choices; each choice is one result in one or more forms, the best first.
The first form that the peer takes (in every instance of it) is sent.
"""

from __future__ import annotations

from typing import Literal, get_args

Form = Literal[
    "seg-binary",
    "seg-labelmap",
    "sr-3d",
    "sr-comprehensive",
    "sr-enhanced",
    "key-images",
    "key-images-multiframe",
    "report-pdf",
    "presentation",
    "key-object",
    "stl",
    "stl-parts",
]

FORMS: tuple[Form, ...] = get_args(Form)
"""In the order in which they are sent: what others refer to goes first."""
