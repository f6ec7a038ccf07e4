"""`spine-node check` says who may call and for what, and warns in time; nothing says a password."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from spine_node.config import Settings, TlsSettings, load_settings
from spine_node.errors import Unavailable
from spine_node.expiry import CertificateWatch
from spine_node.ledger.database import Database
from spine_node.site_check import check
from tests.network.certificates import Hospital, Pair


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    found = Hospital(tmp_path_factory.mktemp("certificates"))
    for pair in (found.node, found.expired):
        os.chmod(pair.key, 0o600)
    return found


def settings(hospital: Hospital, pair: Pair, folder: Path, **tls: float) -> Settings:
    return Settings.model_validate(
        {
            "scp": {"tls_port": 2762, "callers": ["CT2"]},
            "storage": {"folder": folder},
            "tls": {"certificate": pair.certificate, "key": pair.key, "ca": hospital.ca, **tls},
            "callers": [
                {"ae_title": "CT1", "addresses": ["192.0.2.20"], "may": ["store"], "certificate": "CN=ct1"}
            ],
        }
    )


def test_check_says_who_may_call_and_how_long_the_certificate_lasts(
    hospital: Hospital, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(settings(hospital, hospital.node, tmp_path))
    said = capsys.readouterr().out
    assert "127.0.0.1:11112 (plain DICOM) and 127.0.0.1:2762 (TLS)" in said
    assert "CT1 from 192.0.2.20 with certificate CN=ct1 may store" in said
    assert "CT2 may store, commit" in said
    assert f"audit         {tmp_path / 'audit'}, kept 1095 days" in said
    assert "CN=node" in said
    assert "issued by" in said
    assert "more days" in said


def test_check_fails_for_an_expired_certificate_and_for_a_key_that_others_may_read(
    hospital: Hospital, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not check(settings(hospital, hospital.expired, tmp_path))
    assert "EXPIRED 1 days ago: peers refuse us until it is renewed" in capsys.readouterr().out
    os.chmod(hospital.node.key, 0o644)
    assert not check(settings(hospital, hospital.node, tmp_path))
    assert f"KEY {hospital.node.key} IS OPEN TO OTHERS" in capsys.readouterr().out
    os.chmod(hospital.node.key, 0o600)
    assert not check(settings(hospital, Pair(hospital.node.certificate, hospital.caller.key), tmp_path))
    assert "CANNOT BE USED" in capsys.readouterr().out


def test_the_log_warns_once_a_day_before_a_certificate_expires(hospital: Hospital) -> None:
    soon = hospital.pair("soon", "127.0.0.1", not_after=datetime.now(UTC) + timedelta(days=5.5))
    watch = CertificateWatch(TlsSettings(certificate=soon.certificate, key=soon.key))
    with capture_logs() as events:
        watch.look()
        watch.look()
    (warning,) = events
    assert (warning["event"], warning["log_level"]) == ("certificate_expiry", "warning")
    assert "EXPIRES in 5 days" in warning["reason"] or "EXPIRES in 6 days" in warning["reason"]


def test_a_database_that_cannot_be_reached_is_said_without_its_password() -> None:
    with pytest.raises(Unavailable) as said:
        Database("postgresql://node:s3cr3t@127.0.0.1:1/spine")
    assert "127.0.0.1:1/spine" in str(said.value)
    assert "s3cr3t" not in str(said.value)


def test_a_password_from_the_environment_is_in_no_error(tmp_path: Path) -> None:
    environment = {"SPINE_NODE_STORAGE__DATABASE_URL": "postgresql://node:s3cr3t@db/spine"}
    assert "s3cr3t" not in repr(load_settings(tmp_path, environment))
