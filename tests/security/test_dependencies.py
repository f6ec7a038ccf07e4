"""What the node is made of: pinned, licensed, and listed whole in its SBOM."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]

TOOLS = {"pip", "setuptools", "wheel", "spine-node"}
"""What makes an environment, and ourselves: pinned by nobody."""

PERMISSIVE = re.compile(
    r"MIT|BSD|Apache|ISC|0BSD|PSF|Python Software Foundation|HPND|Zlib|CC0|Unlicense|BSL-1|MPL|Mozilla|"
    r"Anthony Scopatz",  # embreex: a BSD licence, its text in the place of its name
)

COPYLEFT = {
    "connected-components-3d": "LGPL-3.0: used as a library, unchanged",
    "fpdf2": "LGPL-3.0: used as a library, unchanged",
    "psycopg": "LGPL-3.0: used as a library, unchanged; only with PostgreSQL",
    "psycopg-binary": "LGPL-3.0: as psycopg",
    "pylibjpeg-libjpeg": "GPL-3.0: decodes JPEG lossless where installed; who distributes the node "
    "with it distributes under the GPL",
}
"""Licences that ask for more than a notice, each with what that means here."""

UNSAID = {"atheris": "Apache-2.0, by its repository; tests only"}
"""Packages whose metadata names no licence."""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().split()
    assert all(re.fullmatch(r"[\w.-]+==[\w.!+]+", line) for line in lines), "every pin is exact"
    found = {canonical(name): version for name, version in (line.split("==") for line in lines)}
    assert len(found) == len(lines), "each package is pinned once"
    return found


def installed() -> dict[str, Distribution]:
    return {canonical(found.metadata["Name"]): found for found in distributions()}


def licence(found: Distribution) -> str:
    metadata = found.metadata
    classifiers = [c for c in metadata.get_all("Classifier", []) if c.startswith("License ::")]
    named = metadata.get("License-Expression") or "; ".join(classifiers) or metadata.get("License") or ""
    return named[:200]


def test_whatever_is_installed_is_pinned_and_nothing_else_is() -> None:
    """A package that came along unseen would be in the hospital's node, and in no list."""
    pinned = pins()
    versions = {name: found.version.split("+")[0] for name, found in installed().items() if name not in TOOLS}
    assert {name: version for name, version in versions.items() if pinned.get(name) != version} == {}


def test_every_requirement_is_pinned_within_its_range() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    pinned = pins()
    for requirement in map(Requirement, wanted):
        version = pinned.get(canonical(requirement.name))
        assert version is not None, f"{requirement.name} is not in constraints.txt"
        assert requirement.specifier.contains(version), f"{requirement} does not allow {version}"


def test_every_licence_is_known_and_what_it_asks_for_is_written_down() -> None:
    unknown = {
        name: licence(found)
        for name, found in installed().items()
        if name not in (*COPYLEFT, *UNSAID) and not PERMISSIVE.search(licence(found))
    }
    assert unknown == {}
    for name in COPYLEFT.keys() & installed().keys():
        assert re.search(r"L?GPL", licence(installed()[name])), f"{name} has another licence by now"


@pytest.fixture(scope="module")
def sbom(tmp_path_factory: pytest.TempPathFactory) -> dict:  # type: ignore[type-arg]
    out = tmp_path_factory.mktemp("sbom") / "sbom.json"
    subprocess.run([str(ROOT / "deploy" / "sbom"), str(out), sys.executable], check=True, timeout=600)
    found: dict = json.loads(out.read_text())  # type: ignore[type-arg]
    return found


def test_the_sbom_lists_everything_that_is_installed_by_name_version_and_purl(sbom: dict) -> None:  # type: ignore[type-arg]
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")
    assert sbom["metadata"]["component"]["name"] == "spine-node"
    listed = {canonical(c["name"]): c["version"] for c in sbom["components"]}
    versions = {name: found.version for name, found in installed().items()}
    assert {name: v for name, v in versions.items() if name not in TOOLS and listed.get(name) != v} == {}
    for component in sbom["components"]:
        if canonical(component["name"]) not in TOOLS:
            assert component["purl"].startswith("pkg:pypi/"), component["name"]


def test_the_sbom_tells_what_needs_what(sbom: dict) -> None:  # type: ignore[type-arg]
    of = {entry["ref"]: entry.get("dependsOn", []) for entry in sbom["dependencies"]}
    (pynetdicom,) = [c["bom-ref"] for c in sbom["components"] if c["name"] == "pynetdicom"]
    assert any(ref.startswith("pydicom") for ref in of[pynetdicom])


def test_the_question_about_known_faults_says_when_it_could_not_be_asked() -> None:
    """Without the network "no fault is known" would be a lie."""
    nowhere = os.environ | dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    nowhere["PIP_INDEX_URL"] = "http://127.0.0.1:9"
    done = subprocess.run(
        [sys.executable, str(ROOT / "deploy" / "audit-dependencies"), "--timeout", "1"],
        capture_output=True, text=True, check=False, timeout=600, env=nowhere,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout
    assert "NOT ASKED" in done.stdout
