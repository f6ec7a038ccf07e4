"""Profiles: what a kind of destination gets, in which form, and why. One TOML file each.

A profile lists results; each may be had in several forms, the best first. Which one goes out is decided
when the PACS has said what it takes, see `network.scu.send_offers`.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from spine_node.dicom.forms import FORMS, SEG_FORMS, SR_FORMS, Form, Product, kind_of
from spine_node.errors import ConfigRefused

_HOMES = (
    Path(__file__).parents[1] / "config" / "destinations",
    Path(sys.prefix) / "share" / "spine-node" / "config" / "destinations",
)
PROFILES_FOLDER = next((home for home in _HOMES if home.is_dir()), _HOMES[0])
"""The profiles that come with the project: beside the package in a checkout, under share/ when installed."""

DEFAULT_PROFILE = "generic"


class Choice(BaseModel):
    """One result.

    Attributes
    ----------
    forms : tuple of str
        In which it may be had, the best first.
    why : str
        For people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    forms: tuple[Form, ...] = Field(min_length=1)
    why: str = ""

    @model_validator(mode="after")
    def _are_forms_of_one_result(self) -> Choice:
        if len({kind_of(form) for form in self.forms}) > 1:
            raise ValueError(f"{', '.join(self.forms)} are not forms of one result: write them apart")
        if len(set(self.forms)) < len(self.forms):
            raise ValueError("a form is listed twice")
        return self


class Profile(BaseModel):
    """What a kind of destination gets.

    Attributes
    ----------
    name, why : str
        For people.
    results : tuple of Choice
    vertebrae : str
        "whole", or "parts": body and posterior elements as segments of their own.
    most_frames : int or None
        Most frames of one SEG instance; segments go into further instances.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    why: str
    results: tuple[Choice, ...] = Field(min_length=1)
    vertebrae: Literal["whole", "parts"] = "whole"
    most_frames: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _each_result_once(self) -> Profile:
        kinds = [kind_of(choice.forms[0]) for choice in self.results]
        if twice := sorted({kind for kind in kinds if kinds.count(kind) > 1}):
            raise ValueError(f"{', '.join(twice)} is listed twice: put its forms into one list")
        if "key-object" in kinds and "key-images" not in kinds:
            raise ValueError("key-object selects the key images: list key-images too")
        return self

    def offers(self) -> tuple[tuple[Product, ...], ...]:
        """Each result as products, the best first; in the order of sending.

        A report exists once for each SEG it could refer to: reports of one form stand together.
        """
        choices = sorted(self.results, key=lambda choice: FORMS.index(choice.forms[0]))
        segs = next((self._segs(c) for c in choices if c.forms[0] in SEG_FORMS), (Product("seg-binary"),))
        return tuple(self._products(choice, segs) for choice in choices)

    def best(self) -> tuple[Product, ...]:
        """Each result in its best form."""
        return tuple(forms[0] for forms in self.offers())

    def _segs(self, choice: Choice) -> tuple[Product, ...]:
        return tuple(Product(form, self.vertebrae == "parts", self.most_frames) for form in choice.forms)

    def _products(self, choice: Choice, segs: tuple[Product, ...]) -> tuple[Product, ...]:
        if choice.forms[0] in SEG_FORMS:
            return segs
        if choice.forms[0] in SR_FORMS:
            return tuple(Product(form, seg=seg) for form in choice.forms for seg in segs)
        return tuple(Product(form) for form in choice.forms)


def load_profile(name: str) -> Profile:
    """A profile by its name ("ohif") or by the path of its TOML file.

    Raises
    ------
    ConfigRefused
        If there is none, or it cannot be used: names the file and what is wrong.
    """
    path = Path(name) if name.endswith(".toml") else PROFILES_FOLDER / f"{name}.toml"
    try:
        return Profile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        known = ", ".join(sorted(p.stem for p in PROFILES_FOLDER.glob("*.toml")))
        raise ConfigRefused(f"there is no profile {name}; there are {known}, or name a .toml file.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise ConfigRefused(f"the profile {path} cannot be read: {problem}") from problem
    except ValidationError as invalid:
        said = "\n".join(
            f"{path}: {' '.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}"
            for e in invalid.errors()
        )
        raise ConfigRefused(said) from None
