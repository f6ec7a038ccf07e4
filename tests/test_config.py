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
from spine_node.network.peer import Peer

CONFIG = Path(__file__).parents[1] / "config"
TABLES = {
    name: f.annotation for name, f in Settings.model_fields.items() if name not in ("rules", "destinations")
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


def test_every_key_of_a_rule_and_of_a_destination_is_documented() -> None:
    text = (CONFIG / "node.toml").read_text()
    for key in (*Rule.model_fields, *(f.name for f in dataclasses.fields(Destination))):
        assert re.search(rf"^#? ?(  )?.*\b{key}\b", text, flags=re.MULTILINE), key


def test_what_a_hospital_changes_fits_on_ten_lines_and_is_valid() -> None:
    lines = (CONFIG / "site.example.toml").read_text().splitlines()
    assert sum("=" in line for line in lines) <= 10
    settings = load_settings(CONFIG / "site.example.toml", {})
    assert settings.scp.allowed_calling_aes == ("CBCT1", "PACS")
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
        ("[scp]\nquux = 1\n", "[scp] quux is not a key; there are ae_title, host, port, callers,"),
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
        ("[scp]\nhost = '0.0.0.0'\n", "reachable from other machines and callers is empty"),
        ("[scp]\nhost = 'node.hospital.example'\n", "reachable from other machines and callers is empty"),
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
        site, "[scp]\nport = 0\n", SPINE_NODE_SERIES__QUIET_S="-1", SPINE_NODE_SCP__HOSTT="x"
    ).splitlines()
    assert said == [
        f"{site}: [scp] port: Input should be greater than or equal to 1 (it says 0)",
        "the environment: [scp] hostt is not a key; did you mean host?",
        "the environment: [series] quiet_s: Input should be greater than or equal to 0 (it says -1)",
        "Nothing was started.",
    ]


def test_a_file_that_is_not_toml_or_not_there_is_refused_with_its_place(site: Path) -> None:
    assert "is not TOML" in refusal(site, "[scp\n")
    assert "line 1" in refusal(site, "[scp\n")
    with pytest.raises(ConfigRefused, match=r"absent\.toml cannot be read"):
        load_settings(site.with_name("absent.toml"), {})


def test_the_outside_is_let_in_only_by_name_or_by_an_explicit_star(site: Path) -> None:
    """An empty list means everybody on this machine, and nobody may take it to a network by accident."""
    for host, callers, allowed in (
        ("127.0.0.1", [], None),
        ("::1", [], None),
        ("0.0.0.0", ["*"], None),
        ("0.0.0.0", ["CT1"], ("CT1",)),
        ("127.0.0.1", ["CT1"], ("CT1",)),
    ):
        site.write_text(f"[scp]\nhost = '{host}'\ncallers = {callers}\n")
        assert load_settings(site, {}).scp.allowed_calling_aes == allowed


def test_a_destination_is_a_peer_with_its_own_share_of_the_results(site: Path) -> None:
    site.write_text(DESTINATION + "port = 104\nresults = ['seg']\n")
    (destination,) = load_settings(site, {}).destinations
    assert isinstance(destination, Peer)
    assert destination.results == ("seg",)
    assert str(destination) == "pacs (PACS at pacs:104)"
