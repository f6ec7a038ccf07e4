"""The settings of a node: defaults < config/*.toml < environment. Frozen, and valid or refused.

Every key, its default, unit and reason stand in `config/node.toml`. A key that does not exist is refused
with the nearest that does, so that a misspelt safety setting is never silently without effect.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from spine_node.dicom.code_overrides import NO_OVERRIDES, CodeOverrides, load_overrides
from spine_node.dicom.forms import Kind, Product, kind_of
from spine_node.dicom.selection import DEFAULT_RULES, Rule
from spine_node.errors import ConfigRefused
from spine_node.network.peer import Peer, checked_ae_title
from spine_node.profiles import DEFAULT_PROFILE, load_profile
from spine_node.segmentation.bundle import DEFAULT_BUNDLE
from spine_node.segmentation.pins import pin_of

ENVIRONMENT_PREFIX = "SPINE_NODE_"
"""`SPINE_NODE_SCP__PORT=104` sets port in [scp]: two underscores part the table from the key."""

CONFIG_FOLDER = Path("config")
"""Read when no file is named: its *.toml in order of name, but for *.example.toml."""

AeTitle = Annotated[str, AfterValidator(checked_ae_title)]


def _checked_device(device: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ValueError("a device is auto, cpu, cuda or cuda:N")
    return device


def _only_known_keys(kind: type) -> BeforeValidator:
    """For tables that become dataclasses: pydantic would drop a key they do not have."""

    def check(table: Any) -> Any:
        known = [field.name for field in fields(kind)]
        for key in table if isinstance(table, dict) else ():
            if key not in known:
                raise ValueError(_unknown(key, known))
        return table

    return BeforeValidator(check)


@dataclass(frozen=True, slots=True)
class Destination(Peer):
    """A peer that results go to, and which of them.

    Attributes
    ----------
    profile : str
        Name of a profile of config/destinations, or the path of one.
    results : tuple of str
        Which results of the profile; all of them when empty.
    notices : bool
        Whether it is told, by a picture in the study, of a series that was not analysed.
    """

    profile: str = DEFAULT_PROFILE
    results: tuple[Kind, ...] = ()
    notices: bool = False

    def offers(self) -> tuple[tuple[Product, ...], ...]:
        """What it is offered: each result in its forms, the best first.

        Raises
        ------
        ConfigRefused
            If there is no such profile, or it lacks a result that this destination is to get.
        """
        profile = load_profile(self.profile)
        offers = profile.offers()
        kinds = [kind_of(forms[0].form) for forms in offers]
        if lacking := [kind for kind in self.results if kind not in kinds]:
            raise ConfigRefused(
                f"destination {self.name}: profile {self.profile} has no {', '.join(lacking)}; it has "
                f"{', '.join(kinds)}."
            )
        wanted = self.results or kinds
        return tuple(forms for forms, kind in zip(offers, kinds, strict=True) if kind in wanted)


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ScpSettings(_Table):
    """[scp]: where the node listens, and to whom."""

    ae_title: AeTitle = "SPINENODE"
    host: str = "127.0.0.1"
    port: int = Field(11112, ge=1, le=65535)
    callers: tuple[AeTitle, ...] = ()
    check_called_ae: bool = True
    max_associations: int = Field(16, ge=1, le=256)
    idle_timeout_s: float = Field(60.0, gt=0)

    @model_validator(mode="after")
    def _beyond_this_machine_callers_are_named(self) -> ScpSettings:
        if not self.callers and not _is_loopback(self.host):
            raise ValueError(
                f'host "{self.host}" is reachable from other machines and callers is empty: name the AE '
                'titles that may call, or write callers = ["*"] to let everybody'
            )
        return self

    @property
    def allowed_calling_aes(self) -> tuple[str, ...] | None:
        """AE titles that may call; None for everybody."""
        return None if not self.callers or "*" in self.callers else self.callers


class StorageSettings(_Table):
    """[storage]: where the node keeps what it received and made."""

    folder: Path = Path("spool")
    inbox_folder: Path | None = None
    results_folder: Path | None = None
    database_url: str = ""
    reserve_gb: float = Field(2.0, ge=0)
    keep_done_days: float = Field(14.0, gt=0)
    keep_refused_days: float = Field(60.0, gt=0)

    @property
    def inbox(self) -> Path:
        """Received instances."""
        return self.inbox_folder or self.folder / "inbox"

    @property
    def results(self) -> Path:
        """One folder a job."""
        return self.results_folder or self.folder / "results"

    @property
    def database(self) -> Path:
        """The ledger's and the engine's SQLite file, unless `database_url` says otherwise."""
        return self.folder / "node.sqlite"

    @property
    def reserve_bytes(self) -> int:
        """Disk space that receiving leaves alone."""
        return int(self.reserve_gb * 1e9)


class SeriesSettings(_Table):
    """[series]: when a series is taken for complete, and when it is given up."""

    quiet_s: float = Field(10.0, ge=0)
    give_up_s: float = Field(3600.0, gt=0)


class ModelSettings(_Table):
    """[model]: what segments, and on what."""

    segmenter: Literal["bundle", "totalsegmentator", "totalsegmentator-fast"] = "bundle"
    bundle: Path = DEFAULT_BUNDLE
    device: Annotated[str, AfterValidator(_checked_device)] = "auto"

    @model_validator(mode="after")
    def _one_choice(self) -> ModelSettings:
        if self.segmenter != "bundle" and "bundle" in self.model_fields_set:
            raise ValueError('a bundle is used only with segmenter = "bundle": leave one of the two out')
        return self

    @property
    def choice(self) -> str | Path:
        """What `segmentation.plug` is to load."""
        return self.bundle if self.segmenter == "bundle" else self.segmenter


def _checked_pins(pins: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Places only: what a vertebra is called may change with the next model, where it is does not."""
    checked = {series: tuple(pin_of(text) for text in texts) for series, texts in pins.items()}
    for pin in (pin for found in checked.values() for pin in found):
        if pin.point_mm is None:
            raise ValueError(
                f"{str(pin)!r} says what this model calls a vertebra, and the next model may call it "
                f"otherwise: write {pin.level}=x,y,z, a point in its body in LPS millimetres (centres_mm in "
                "naming.json of its results, from the head down)"
            )
    return {series: tuple(str(pin) for pin in found) for series, found in checked.items()}


class LevelSettings(_Table):
    """[levels]: vertebrae whose level a person has fixed, by Series Instance UID."""

    pins: Annotated[dict[str, tuple[str, ...]], AfterValidator(_checked_pins)] = Field(default_factory=dict)


class ReportSettings(_Table):
    """[report]: how the structured reports are written."""

    codes: Path | None = None

    def overrides(self) -> CodeOverrides:
        """The hospital's own codes.

        Raises
        ------
        ConfigRefused
            If the file cannot be used.
        """
        return NO_OVERRIDES if self.codes is None else load_overrides(self.codes)


class EngineSettings(_Table):
    """[engine]: the durable workflows."""

    give_up_s: float = Field(3 * 86400.0, gt=0)


class Settings(_Table):
    """Everything a node is told."""

    scp: ScpSettings = Field(default_factory=ScpSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    series: SeriesSettings = Field(default_factory=SeriesSettings)
    rules: tuple[Rule, ...] = DEFAULT_RULES
    model: ModelSettings = Field(default_factory=ModelSettings)
    levels: LevelSettings = Field(default_factory=LevelSettings)
    destinations: tuple[Annotated[Destination, _only_known_keys(Destination)], ...] = ()
    report: ReportSettings = Field(default_factory=ReportSettings)
    engine: EngineSettings = Field(default_factory=EngineSettings)

    @model_validator(mode="after")
    def _destinations_have_profiles(self) -> Settings:
        for peer in self.destinations:
            peer.offers()
        return self

    @model_validator(mode="after")
    def _codes_can_be_used(self) -> Settings:
        self.report.overrides()
        return self

    @model_validator(mode="after")
    def _destinations_have_their_own_names(self) -> Settings:
        names = [peer.name for peer in self.destinations]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two destinations are named {', '.join(twice)}; the ledger tells them by name")
        return self


def load_settings(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this node.

    Parameters
    ----------
    path : Path, optional
        A TOML file, or a folder of them; by default the folder `config` of the working directory,
        if there is one.
    environment : mapping of str to str, optional
        By default the process's.

    Raises
    ------
    ConfigRefused
        If a file cannot be read, a key does not exist or a value cannot be used: names file and key.
    """
    sources: dict[tuple[str, ...], str] = {}
    merged: dict[str, Any] = {}
    for file in _files(path):
        _merge(merged, _read(file), str(file), sources)
    variables = os.environ if environment is None else environment
    _merge(merged, _from_environment(variables), "the environment", sources)
    try:
        return Settings.model_validate(merged)
    except ValidationError as invalid:
        problems = "\n".join(_in_words(error, sources) for error in invalid.errors())
        raise ConfigRefused(f"{problems}\nNothing was started.") from None


def _files(path: Path | None) -> list[Path]:
    if path is not None and not path.is_dir():
        return [path]
    folder = CONFIG_FOLDER if path is None else path
    return [f for f in sorted(folder.glob("*.toml")) if not f.name.endswith(".example.toml")]


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigRefused(f"{file} cannot be read: {problem}") from problem
    except tomllib.TOMLDecodeError as problem:
        raise ConfigRefused(f"{file} is not TOML: {problem}") from problem


def _from_environment(variables: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name in sorted(variables):
        if name.startswith(ENVIRONMENT_PREFIX):
            *tables, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
            table = tree
            for part in tables:
                table = table.setdefault(part, {})
            table[key] = _toml_value(variables[name])
    return tree


def _toml_value(text: str) -> Any:
    """A number, list or truth as TOML writes it; anything else is the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _merge(
    into: dict[str, Any], new: dict[str, Any], source: str, sources: dict[tuple[str, ...], str],
    above: tuple[str, ...] = (),
) -> None:  # fmt: skip
    for key, value in new.items():
        place = (*above, key)
        sources[place] = source
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value, source, sources, place)
        else:
            into[key] = value
            sources.update((found, source) for found in _places(value, place))


def _places(value: Any, place: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*place, key)
            yield from _places(inner, (*place, key))


def _in_words(error: ErrorDetails, sources: Mapping[tuple[str, ...], str]) -> str:
    loc = error["loc"]
    place = tuple(str(part) for part in loc)
    source = next((sources[place[:n]] for n in range(len(place), 0, -1) if place[:n] in sources), "")
    if error["type"] == "extra_forbidden":
        *table, key = loc
        words = [f"{source}:", _key(table), _unknown(str(key), _known_keys(table))]
        return " ".join(filter(None, words))
    where = f"{source}: {_key(loc)}" if loc else "the settings together"
    said = error["msg"].removeprefix("Value error, ")
    seen = "" if isinstance(error["input"], dict | BaseModel) else f" (it says {error['input']!r})"
    return f"{where}: {said}{seen}"


def _key(loc: Sequence[int | str]) -> str:
    """A place as TOML shows it.

    Examples
    --------
    >>> _key(("scp", "port")), _key(("destinations", 1, "port")), _key(("scp",))
    ('[scp] port', '[[destinations]] number 2 port', '[scp]')
    """
    if not loc:
        return ""
    table, *rest = loc
    if rest and isinstance(rest[0], int):
        return " ".join([f"[[{table}]] number {rest[0] + 1}", *map(str, rest[1:])])
    return " ".join([f"[{table}]", *map(str, rest)])


def _known_keys(table: Sequence[int | str]) -> list[str]:
    known: Any = Settings
    for part in table:
        known = get_args(known)[0] if isinstance(part, int) else known.model_fields[part].annotation
    return list(known.model_fields)


def _unknown(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."
    return f"{key} is not a key; {hint}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
