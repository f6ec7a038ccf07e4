"""Settings: documented, ordered by precedence, valid or refused in words that name file and key."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pydantic
import pytest

from spine_node.config import Destination, Settings, load_settings
from spine_node.dicom.selection import DEFAULT_RULES, Rule
from spine_node.errors import ConfigRefused
from spine_node.network.access import Admitted, Caller, Refusal
from spine_node.network.peer import ClientTls, Peer

CONFIG = Path(__file__).parents[1] / "config"
TABLES = {
    name: f.annotation
    for name, f in Settings.model_fields.items()
    if name not in ("rules", "destinations", "callers")
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return tmp_path / "site.toml"


def refusal(site: Path, text: str, **environment: str) -> str:
    site.write_text(text)
    with pytest.raises(ConfigRefused) as refused:
        load_settings(site, environment)
    return str(refused.value)


def test_the_documented_defaults_are_the_defaults() -> None:
    assert load_settings(CONFIG / "node.toml", {}).model_dump() == Settings().model_dump()
    assert Settings().rules == DEFAULT_RULES


@pytest.mark.parametrize("table", TABLES)
def test_every_key_is_documented_in_its_table(table: str) -> None:
    """With its default and, on the same line, why."""
    text = (CONFIG / "node.toml").read_text()
    section = re.split(rf"^\[{table}\]", text, flags=re.MULTILINE)[1].split("\n[", 1)[0]
    keys = {match[1] for match in re.finditer(r"^(?:# )?(\w+) = .+ # .{10,}", section, flags=re.MULTILINE)}
    assert keys == set(TABLES[table].model_fields)


def test_every_key_of_a_rule_a_destination_and_a_caller_is_documented() -> None:
    text = (CONFIG / "node.toml").read_text()
    of_tables = [f.name for kind in (Destination, Caller, ClientTls) for f in dataclasses.fields(kind)]
    for key in (*Rule.model_fields, *of_tables):
        assert re.search(rf"^#? ?(  )?.*\b{key}\b", text, flags=re.MULTILINE), key


def test_what_a_hospital_changes_fits_on_ten_lines_and_is_valid() -> None:
    lines = (CONFIG / "site.example.toml").read_text().splitlines()
    assert sum("=" in line for line in lines) <= 10
    settings = load_settings(CONFIG / "site.example.toml", {})
    assert [caller.ae_title for caller in settings.access.callers] == ["CBCT1", "PACS"]
    assert settings.destinations == (Destination("pacs", "PACS", "192.0.2.10", 104),)


def test_levels_are_fixed_by_series(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text("[levels.pins]\n'1.2.3' = ['L5=0,0.5,80', 'Th12 = 1,2.50,-3']\n")
    assert load_settings(tmp_path, {}).levels.pins == {"1.2.3": ("L5=0,0.5,80", "T12=1,2.5,-3")}


def test_files_come_in_order_of_name_and_the_environment_last(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[scp]\nport = 1\nae_title = 'A'\n[series]\nquiet_s = 1\n")
    (tmp_path / "b.toml").write_text("[scp]\nport = 2\n[series]\nquiet_s = 2\n")
    (tmp_path / "z.example.toml").write_text("[scp]\nport = 9\n")
    environment = {"SPINE_NODE_SCP__PORT": "3", "OTHER": "x", "SPINE_NODE_SCP__CALLERS": '["CT1", "CT2"]'}
    settings = load_settings(tmp_path, environment)
    assert settings.scp.port == 3
    assert settings.series.quiet_s == 2
    assert settings.scp.ae_title == "A"
    assert settings.scp.callers == ("CT1", "CT2")
    assert settings.engine == Settings().engine


def test_without_a_file_the_config_folder_of_the_working_directory_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(None, {}) == Settings()
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "site.toml").write_text("[scp]\nport = 104\n")
    assert load_settings(None, {}).scp.port == 104


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        Settings().scp.port = 1  # type: ignore[misc]


def test_where_things_lie() -> None:
    storage = Settings.model_validate({"storage": {"folder": "/data", "results_folder": "/fast"}}).storage
    assert storage.inbox == Path("/data/inbox")
    assert storage.results == Path("/fast")
    assert storage.database == Path("/data/node.sqlite")
    assert storage.reserve_bytes == 2_000_000_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[scp]\nporrt = 1\n", "[scp] porrt is not a key; did you mean port?"),
        ("[sccp]\nport = 1\n", "sccp is not a key; did you mean scp?"),
        ("[scp]\nquux = 1\n", "[scp] quux is not a key; there are ae_title, host, port, tls_port, callers,"),
        (
            "[[rules]]\nname = 'a'\nmin_slice = 3\n",
            "[[rules]] number 1 min_slice is not a key; did you mean min_slices?",
        ),
        ("[[rules]]\nname = 'a'\n[[rules]]\nmin_slices = 3\n", "[[rules]] number 2 name: Field required"),
        ("[[rules]]\nname = 'a'\nstation = ['re:(']\n", "'re:(' is no regular expression"),
        ("[scp]\nport = 70000\n", "[scp] port: Input should be less than or equal to 65535 (it says 70000)"),
        ("[scp]\nae_title = 'A TITLE THAT IS FAR TOO LONG'\n", "is no AE title: 1 to 16 printable ASCII"),
        ("[scp]\nae_title = 'BACK\\SLASH'\n", "is no AE title"),
        ("[series]\nquiet_s = 'soon'\n", "[series] quiet_s: Input should be a valid number"),
        ("[series]\ngive_up_s = -1\n", "[series] give_up_s: Input should be greater than 0 (it says -1)"),
        (
            "[model]\ndevice = 'gpu'\n",
            "[model] device: a device is auto, cpu, cuda or cuda:N (it says 'gpu')",
        ),
        ("[levels.pins]\n'1.2.3' = ['L5']\n", "[levels] pins: 'L5' is no pin: write"),
        (
            "[levels.pins]\n'1.2.3' = ['T12=1,2,3', 'L5=L4']\n",
            "[levels] pins: 'L5=L4' says what this model calls a vertebra",
        ),
        ("[levels.pins]\n'1.2.3' = ['L5=L4']\n", "write L5=x,y,z, a point in its body"),
        ("[levels.pins]\n'1.2.3' = ['L5=L4']\n", "centres_mm in naming.json"),
        ("[scp]\nport = 0\n", "[scp]: port and tls_port are both 0: the node would listen nowhere"),
        ("[scp]\nport = 104\ntls_port = 104\n", "[scp]: port and tls_port are both 104"),
        ("[tls]\ncertificate = 'node.pem'\n", "[tls]: certificate and key go together"),
        ("[[callers]]\nae_title = 'CT1'\nmay = ['delete']\n", "'retrieve' or 'commit' (it says 'delete')"),
        (
            "[[callers]]\nae_title = 'CT1'\naddress = ['::1']\n",
            "address is not a key; did you mean addresses?",
        ),
        ("[[callers]]\nae_title = 'CT1'\naddresses = ['192.0.2.7/24']\n", "has host bits set"),
        (
            "[[callers]]\nae_title = 'CT1'\ncertificate = 'cbct1'\n",
            "'cbct1' is no certificate: write its SHA-256",
        ),
        ("[[callers]]\nae_title = 'CT1'\nport = 104\n", "takes both host and port"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_by_file_and_key(site: Path, text: str, words: str) -> None:
    said = refusal(site, text)
    assert said.startswith(f"{site}: ")
    assert words in said
    assert said.endswith("Nothing was started.")


DESTINATION = "[[destinations]]\nname = 'pacs'\nae_title = 'PACS'\nhost = 'pacs'\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (DESTINATION, "[[destinations]] number 1"),
        (DESTINATION + "port = 0\n", "port 0 is not between 1 and 65535"),
        (DESTINATION + "port = 1\nresult = ['seg']\n", "result is not a key; did you mean results?"),
        (DESTINATION + "port = 1\nresults = ['sg']\n", "'presentation' or 'stl' (it says 'sg')"),
        (DESTINATION + "port = 1\nanswer_timeout_s = 0\n", "leaves no time to answer"),
        ((DESTINATION + "port = 1\n") * 2, "two destinations are named pacs"),
    ],
)
def test_a_destination_that_cannot_be_used_is_refused(site: Path, text: str, words: str) -> None:
    assert words in refusal(site, text)


def test_every_problem_is_said_at_once_and_where_it_comes_from(site: Path) -> None:
    said = refusal(
        site, "[scp]\nport = -1\n", SPINE_NODE_SERIES__QUIET_S="-1", SPINE_NODE_SCP__HOSTT="x"
    ).splitlines()
    assert said == [
        f"{site}: [scp] port: Input should be greater than or equal to 0 (it says -1)",
        "the environment: [scp] hostt is not a key; did you mean host?",
        "the environment: [series] quiet_s: Input should be greater than or equal to 0 (it says -1)",
        "Nothing was started.",
    ]


def test_a_file_that_is_not_toml_or_not_there_is_refused_with_its_place(site: Path) -> None:
    assert "is not TOML" in refusal(site, "[scp\n")
    assert "line 1" in refusal(site, "[scp\n")
    with pytest.raises(ConfigRefused, match=r"absent\.toml cannot be read"):
        load_settings(site.with_name("absent.toml"), {})


@pytest.mark.parametrize(
    ("host", "callers", "let_in", "kept_out"),
    [
        ("127.0.0.1", "[]", ["ANYBODY"], []),
        ("::1", "[]", ["ANYBODY"], []),
        ("0.0.0.0", "['*']", ["ANYBODY"], []),
        ("0.0.0.0", "['CT1']", ["CT1"], ["CT2"]),
        ("127.0.0.1", "['CT1']", ["CT1"], ["CT2"]),
        ("0.0.0.0", "[]\n[[callers]]\nae_title = 'CT2'", ["CT2"], ["CT1"]),
        ("0.0.0.0", "['CT1']\n[[callers]]\nae_title = 'CT2'", ["CT1", "CT2"], ["CT3"]),
    ],
)
def test_the_outside_is_let_in_only_by_name_or_by_an_explicit_star(
    site: Path, host: str, callers: str, let_in: list[str], kept_out: list[str]
) -> None:
    """An empty list means everybody on this machine, and nobody may take it to a network by accident."""
    site.write_text(f"[scp]\nhost = '{host}'\ncallers = {callers}\n")
    access = load_settings(site, {}).access
    for titles, kind in ((let_in, Admitted), (kept_out, Refusal)):
        for title in titles:
            assert isinstance(access.admit(title, "SPINENODE", "192.0.2.1"), kind)


TLS = "[tls]\ncertificate = 'node.pem'\nkey = 'node.key'\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[scp]\nhost = '0.0.0.0'\n",
            '[scp] host "0.0.0.0" is reachable from other machines and callers is empty',
        ),
        ("[scp]\nhost = 'node.hospital.example'\n", "reachable from other machines and callers is empty"),
        ("[scp]\ncallers = ['A']\n[[callers]]\nae_title = 'A'\n", "A may call by more than one rule"),
        ("[scp]\ntls_port = 2762\n", "tls_port needs [tls] certificate and key"),
        ("[scp]\ntls_port = 2762\n" + TLS, "needs ca: whose certificates are believed"),
        (
            "[[callers]]\nae_title = 'CT1'\ncertificate = 'CN=ct1'\n",
            "CT1 must show a certificate, which takes",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(site: Path, text: str, words: str) -> None:
    said = refusal(site, text)
    assert said.startswith("the settings together: ")
    assert words in said


def test_a_peer_that_is_called_with_tls_gets_the_files_of_the_node_and_its_own_first(site: Path) -> None:
    own = "tls = { ca = 'pacs-ca.pem', server_name = 'pacs' }\n"
    site.write_text(
        TLS
        + "ca = 'ca.pem'\nkey_password_file = 'password'\ncrl = 'crl.pem'\n"
        + DESTINATION
        + "port = 1\ntls = true\n"
        + DESTINATION.replace("'pacs'", "'other'", 1)
        + "port = 1\n"
        + own
        + "[[callers]]\nae_title = 'CT1'\nhost = 'ct1'\nport = 104\ntls = true\n"
    )
    settings = load_settings(site, {})
    pacs, other = settings.destinations
    assert pacs.tls == ClientTls("ca.pem", "node.pem", "node.key", "password", "", "crl.pem", "")
    assert other.tls == ClientTls("pacs-ca.pem", "node.pem", "node.key", "password", "", "", "pacs")
    ct1 = settings.access.peer("CT1")
    assert ct1 is not None
    assert (ct1.host, ct1.port, ct1.tls) == ("ct1", 104, pacs.tls)
    assert "no ca says whose certificates are believed" in refusal(
        site, DESTINATION + "port = 1\ntls = true\n"
    )
    assert "sever_name is not a key; did you mean server_name?" in refusal(
        site, DESTINATION + "port = 1\ntls = { sever_name = 'x' }\n"
    )


def test_a_password_in_the_database_url_is_never_said(site: Path) -> None:
    """Neither in a refusal, nor where settings are printed."""
    url = "postgresql://node:s3cr3t@db/spine"
    said = refusal(site, f"[storage]\ndatabase_url = ['{url}']\n[scp]\nport = -1\n")
    assert "database_url: Input should be a valid string" in said
    assert "s3cr3t" not in said
    site.write_text("")
    settings = load_settings(site, {"SPINE_NODE_STORAGE__DATABASE_URL": url})
    assert settings.storage.database_url == url
    assert "s3cr3t" not in f"{settings!r} {settings}"


def test_a_destination_is_a_peer_with_its_own_share_of_the_results(site: Path) -> None:
    site.write_text(DESTINATION + "port = 104\nresults = ['seg']\n")
    (destination,) = load_settings(site, {}).destinations
    assert isinstance(destination, Peer)
    assert destination.results == ("seg",)
    assert str(destination) == "pacs (PACS at pacs:104)"
