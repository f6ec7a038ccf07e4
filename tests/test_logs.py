"""Log lines go to stderr, whichever that is by now, and carry no patient's name."""

from __future__ import annotations

import contextlib
import io
import json

from spine_node.logs import configure_logs, logger


def test_a_log_outlives_the_stream_it_began_on():
    """A test runner, or a service manager's wrapper, may replace stderr and close the old one."""
    log = logger("scp")
    first, second = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(first):
        configure_logs(json_lines=True)
        log.info("one")
    first.close()
    with contextlib.redirect_stderr(second):
        log.info("two", sop_instance_uid="1.2.3")
    assert json.loads(second.getvalue())["event"] == "two"


def test_a_patients_name_is_withheld():
    out = io.StringIO()
    with contextlib.redirect_stderr(out):
        configure_logs(json_lines=True)
        logger("scp").info("received", PatientName="Doe^John", study_instance_uid="1.2")
    assert "Doe" not in out.getvalue()
    assert json.loads(out.getvalue())["study_instance_uid"] == "1.2"
