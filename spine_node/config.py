"""The settings of a node: defaults < config/*.toml < environment. Frozen, and valid or refused.

Every key, its default, unit and reason stand in `config/node.toml`. A key that does not exist is refused
with the nearest that does, so that a misspelt safety setting is never silently without effect.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import socket
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from spine_node.audit.messages import Source
from spine_node.dicom.code_overrides import NO_OVERRIDES, CodeOverrides, load_overrides
from spine_node.dicom.forms import Kind, Product, kind_of
from spine_node.dicom.selection import DEFAULT_RULES, Rule
from spine_node.errors import ConfigRefused
from spine_node.network.access import Access, Caller, everybody
from spine_node.network.peer import ClientTls, Peer, ServerTls, checked_ae_title
from spine_node.network.repository_url import target_of
from spine_node.profiles import DEFAULT_PROFILE, load_profile
from spine_node.segmentation.bundle import DEFAULT_BUNDLE
from spine_node.segmentation.pins import pin_of

ENVIRONMENT_PREFIX = "SPINE_NODE_"
"""`SPINE_NODE_SCP__PORT=104` sets port in [scp]: two underscores part the table from the key."""

CONFIG_FOLDER = Path("config")
"""Read when no file is named: its *.toml in order of name, but for *.example.toml."""

_SECRETS = {"database_url"}
"""Keys whose values may hold a password: never printed."""

AeTitle = Annotated[str, AfterValidator(checked_ae_title)]


def _checked_caller(title: str) -> str:
    return title if title == "*" else checked_ae_title(title)


def _checked_repository(url: str) -> str:
    if url:
        target_of(url)
    return url


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


def _tls_of(value: Any) -> Any:
    """`tls = true` takes everything from [tls]; a table says what is different for this peer."""
    return {True: ClientTls(), False: None}[value] if isinstance(value, bool) else value


Tls = Annotated[ClientTls | None, _only_known_keys(ClientTls), BeforeValidator(_tls_of)]


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
    associations : int
        How many may be open to it at once; results of one study keep their order among them.
    commitment : bool
        Whether it is asked, after each delivery, to commit itself to keeping what it stored.
    commitment_wait_s, commitment_retry_s : float
        Seconds to listen for its answer on the association that asked; and until it is asked again.
    reject_superseded : bool
        Whether it is sent a rejection note (IHE IOCM) of results that newer ones replace.
    """

    tls: Tls = None
    profile: str = DEFAULT_PROFILE
    results: tuple[Kind, ...] = ()
    notices: bool = False
    reject_superseded: bool = False
    associations: int = 1
    commitment: bool = False
    commitment_wait_s: float = 2.0
    commitment_retry_s: float = 3600.0

    def __post_init__(self) -> None:
        Peer.__post_init__(self)
        if not 1 <= self.associations <= 16:
            raise ValueError(f"{self.associations} associations at once are not between 1 and 16")
        if self.commitment_wait_s < 0 or self.commitment_retry_s <= 0:
            raise ValueError("commitment_wait_s is at least 0, and commitment_retry_s more than that")

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


@dataclass(frozen=True, slots=True)
class ConfiguredCaller(Caller):
    """An application entity that may call, as a table [[callers]]."""

    tls: Tls = None


class ScpSettings(_Table):
    """[scp]: where the node listens, and to whom."""

    ae_title: AeTitle = "SPINENODE"
    host: str = "127.0.0.1"
    port: int = Field(11112, ge=0, le=65535)
    tls_port: int = Field(0, ge=0, le=65535)
    callers: tuple[Annotated[str, AfterValidator(_checked_caller)], ...] = ()
    check_called_ae: bool = True
    processes: int = Field(0, ge=0, le=64)
    max_associations: int = Field(32, ge=1, le=256)
    max_associations_per_caller: int = Field(24, ge=1, le=256)
    association_timeout_s: float = Field(15.0, gt=0)
    idle_timeout_s: float = Field(60.0, gt=0)
    max_instance_gb: float = Field(4.0, gt=0)
    stop_grace_s: float = Field(10.0, ge=0)

    @model_validator(mode="after")
    def _listens_somewhere(self) -> ScpSettings:
        if not self.port and not self.tls_port:
            raise ValueError("port and tls_port are both 0: the node would listen nowhere")
        if self.port == self.tls_port:
            raise ValueError(f"port and tls_port are both {self.port}: plain DICOM and TLS take one each")
        return self


class TlsSettings(_Table):
    """[tls]: who we are on encrypted connections, and whom we believe."""

    certificate: str = ""
    key: str = ""
    key_password_file: str = ""
    key_password_variable: str = ""
    ca: str = ""
    crl: str = ""
    client_certificates: bool = True
    handshake_timeout_s: float = Field(10.0, gt=0, le=120)
    warn_days: float = Field(30.0, ge=0)

    @model_validator(mode="after")
    def _certificate_and_key_go_together(self) -> TlsSettings:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key go together: one of the two is missing")
        if self.key_password_file and self.key_password_variable:
            raise ValueError(
                "the key's password is in key_password_file or key_password_variable, not in both"
            )
        return self

    def server(self) -> ServerTls:
        """How the TLS port speaks."""
        return ServerTls(self.towards(ClientTls()), self.client_certificates, self.handshake_timeout_s)

    def towards(self, own: ClientTls) -> ClientTls:
        """How we speak TLS to a peer: what its own table leaves empty is taken from here."""
        ours = {"ca": self.ca}
        if not own.crl and not own.ca:
            ours["crl"] = self.crl
        if not own.certificate:
            names = ("certificate", "key", "key_password_file", "key_password_variable")
            ours |= {name: getattr(self, name) for name in names}
        return replace(own, **{name: value for name, value in ours.items() if not getattr(own, name)})


class StorageSettings(_Table):
    """[storage]: where the node keeps what it received and made."""

    folder: Path = Path("spool")
    inbox_folder: Path | None = None
    results_folder: Path | None = None
    database_url: str = Field("", repr=False)
    reserve_gb: float = Field(2.0, ge=0)
    keep_done_days: float = Field(14.0, gt=0)
    keep_refused_days: float = Field(60.0, gt=0)
    results_days: float = Field(365.0, ge=0)
    ledger_days: float = Field(730.0, gt=0)
    low_water_gb: float = Field(5.0, ge=0)
    inbox_quota_gb: float = Field(0.0, ge=0)
    results_quota_gb: float = Field(0.0, ge=0)

    @property
    def inbox(self) -> Path:
        """Received instances."""
        return self.inbox_folder or self.folder / "inbox"

    @property
    def results(self) -> Path:
        """One folder a job."""
        return self.results_folder or self.folder / "results"

    @property
    def lock(self) -> Path:
        """Held by the one node that uses this folder."""
        return self.folder / "node.lock"

    @property
    def database(self) -> Path:
        """The ledger's and the engine's SQLite file, unless `database_url` says otherwise."""
        return self.folder / "node.sqlite"

    @property
    def reserve_bytes(self) -> int:
        """Disk space that receiving leaves alone."""
        return int(self.reserve_gb * 1e9)

    @property
    def low_water_bytes(self) -> int:
        """Free space below which what may go goes: never later than receiving stops."""
        return int(max(self.low_water_gb, self.reserve_gb) * 1e9)


class QuerySettings(_Table):
    """[query]: how the node answers queries for its results."""

    most_matches: int = Field(1000, ge=1, le=100_000)


class CommitmentSettings(_Table):
    """[commitment]: how the node answers modalities that ask whether it keeps what they sent."""

    report_port: int = Field(0, ge=0, le=65535)


class SeriesSettings(_Table):
    """[series]: when a series is taken for complete, and when it is given up."""

    quiet_s: float = Field(10.0, ge=0)
    quiet_s_by_sender: dict[AeTitle, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    give_up_s: float = Field(3600.0, gt=0)

    def quiet_of(self, calling_ae: str) -> float:
        """Seconds of silence after which a series of this sender is looked at."""
        return self.quiet_s_by_sender.get(calling_ae, self.quiet_s)


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


class AuditSettings(_Table):
    """[audit]: the trail of who did what to whose study."""

    enabled: bool = True
    folder: Path | None = None
    max_file_mb: float = Field(50.0, ge=0.1)
    keep_days: float = Field(1095.0, gt=0)
    site: str = ""
    repository: Annotated[str, AfterValidator(_checked_repository)] = ""

    @property
    def max_file_bytes(self) -> int:
        """When a file is followed by the next."""
        return int(self.max_file_mb * 1e6)


class EngineSettings(_Table):
    """[engine]: the durable workflows."""

    give_up_s: float = Field(14 * 86400.0, gt=0)


class Settings(_Table):
    """Everything a node is told."""

    scp: ScpSettings = Field(default_factory=ScpSettings)
    tls: TlsSettings = Field(default_factory=TlsSettings)
    callers: tuple[Annotated[ConfiguredCaller, _only_known_keys(ConfiguredCaller)], ...] = ()
    storage: StorageSettings = Field(default_factory=StorageSettings)
    query: QuerySettings = Field(default_factory=QuerySettings)
    commitment: CommitmentSettings = Field(default_factory=CommitmentSettings)
    series: SeriesSettings = Field(default_factory=SeriesSettings)
    rules: tuple[Rule, ...] = DEFAULT_RULES
    model: ModelSettings = Field(default_factory=ModelSettings)
    levels: LevelSettings = Field(default_factory=LevelSettings)
    destinations: tuple[Annotated[Destination, _only_known_keys(Destination)], ...] = ()
    report: ReportSettings = Field(default_factory=ReportSettings)
    engine: EngineSettings = Field(default_factory=EngineSettings)
    audit: AuditSettings = Field(default_factory=AuditSettings)

    @property
    def audit_folder(self) -> Path | None:
        """Where the audit trail is kept; None when there is none."""
        return (self.audit.folder or self.storage.folder / "audit") if self.audit.enabled else None

    @property
    def audit_source(self) -> Source:
        """Who this process is in the audit trail."""
        return Source(self.scp.ae_title, socket.gethostname(), os.getpid(), self.audit.site)

    @property
    def access(self) -> Access:
        """Who may call, from where, and for what."""
        short = tuple(Caller(title) for title in self.scp.callers)
        if not short and not self.callers:
            return everybody(self.scp.ae_title, check_called_ae=self.scp.check_called_ae)
        return Access(self.scp.ae_title, (*self.callers, *short), self.scp.check_called_ae)

    @field_validator("callers", "destinations", mode="after")
    @classmethod
    def _tls_is_completed(cls, peers: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        tls = info.data.get("tls", TlsSettings())
        completed = tuple(replace(p, tls=tls.towards(p.tls)) if p.tls else p for p in peers)
        for peer in completed:
            if peer.tls and not peer.tls.ca:
                raise ValueError(
                    f"{peer.ae_title} is to be called with TLS, and no ca says whose certificates are "
                    "believed: name it here or in [tls]"
                )
        return completed

    @model_validator(mode="after")
    def _beyond_this_machine_callers_are_named(self) -> Settings:
        if not self.scp.callers and not self.callers and not _is_loopback(self.scp.host):
            raise ValueError(
                f'[scp] host "{self.scp.host}" is reachable from other machines and callers is empty: name '
                'the AE titles that may call, or write callers = ["*"] to let everybody'
            )
        titles = [*self.scp.callers, *(caller.ae_title for caller in self.callers)]
        if twice := sorted({title for title in titles if titles.count(title) > 1}):
            raise ValueError(
                f"{', '.join(twice)} may call by more than one rule: [scp] callers and [[callers]] name each "
                "once"
            )
        return self

    @model_validator(mode="after")
    def _the_repository_is_believed(self) -> Settings:
        if self.audit.repository.startswith("tls:") and not self.tls.ca:
            raise ValueError("[audit] repository over TLS needs [tls] ca: whose certificate is believed")
        return self

    @model_validator(mode="after")
    def _tls_port_has_a_certificate(self) -> Settings:
        tls = self.tls
        if self.scp.tls_port and not tls.certificate:
            raise ValueError("[scp] tls_port needs [tls] certificate and key")
        if self.scp.tls_port and tls.client_certificates and not tls.ca:
            raise ValueError(
                "[scp] tls_port with [tls] client_certificates = true needs ca: whose certificates are "
                "believed"
            )
        asked = [caller.ae_title for caller in self.callers if caller.certificate]
        if asked and not (self.scp.tls_port and tls.ca):
            raise ValueError(
                f"{', '.join(asked)} must show a certificate, which takes [scp] tls_port and [tls] ca: as it "
                "is, they could not call at all"
            )
        return self

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
    told = not isinstance(error["input"], dict | BaseModel) and not _SECRETS & set(place)
    seen = f" (it says {error['input']!r})" if told else ""
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
