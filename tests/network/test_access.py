"""Who may call, from where, and for what: a refusal has a reason for us, and the standard's for the peer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spine_node.network.access import (
    CALLED_AE_NOT_RECOGNISED,
    CALLING_AE_NOT_RECOGNISED,
    Access,
    Admitted,
    Caller,
    Certificate,
    Refusal,
    everybody,
    right_for,
)

CT, SR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.34"
ECHO, COMMITMENT = "1.2.840.10008.1.1", "1.2.840.10008.1.20.1"
FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{n}" for n in (1, 2, 3))
SHOWN = Certificate("ab" * 32, (("C", "CH"), ("O", "Hospital, North"), ("CN", "cbct1")))
AT = "192.0.2.20"


def admit(caller: Caller, calling: str = "CT1", address: str = AT, certificate: Certificate | None = None):
    return Access("NODE", (caller,)).admit(calling, "NODE", address, certificate)


@pytest.mark.parametrize(
    ("caller", "calling", "address", "certificate", "words"),
    [
        (Caller("CT2"), "CT1", AT, None, "calling AE title 'CT1' is not among the callers"),
        (Caller("CT1"), "ct1", AT, None, "calling AE title 'ct1' is not among the callers"),
        (Caller("CT1", ("192.0.2.21",)), "CT1", AT, None, "from 192.0.2.21, not from 192.0.2.20"),
        (Caller("CT1", ("192.0.2.0/28",)), "CT1", AT, None, "from 192.0.2.0/28, not from 192.0.2.20"),
        (Caller("CT1", ("2001:db8::/32",)), "CT1", "2001:db9::1", None, "not from 2001:db9::1"),
        (Caller("CT1", ("192.0.2.0/24",)), "CT1", "(unknown)", None, "not from (unknown)"),
        (
            Caller("CT1", certificate="cd" * 32),
            "CT1",
            AT,
            SHOWN,
            "and showed C=CH,O=Hospital, North,CN=cbct1",
        ),
        (Caller("CT1", certificate="CN=cbct2"), "CT1", AT, SHOWN, "must show the certificate CN=cbct2"),
        (Caller("CT1", certificate="CN=cbct1"), "CT1", AT, None, "and showed none"),
    ],
)
def test_who_does_not_fit_its_rule_is_refused_and_told_no_more_than_the_standard(
    caller: Caller, calling: str, address: str, certificate: Certificate | None, words: str
) -> None:
    refusal = admit(caller, calling, address, certificate)
    assert isinstance(refusal, Refusal)
    assert words in refusal.reason
    assert refusal.rejection == CALLING_AE_NOT_RECOGNISED


@pytest.mark.parametrize(
    ("caller", "address"),
    [
        (Caller("CT1"), AT),
        (Caller("*"), AT),
        (Caller("CT1", ("192.0.2.0/24",)), AT),
        (Caller("CT1", ("192.0.2.0/24",)), f"::ffff:{AT}"),
        (Caller("CT1", ("2001:db8::/32", "127.0.0.1")), "2001:db8::7"),
        (Caller("CT1", certificate="AB:" * 31 + "AB"), AT),
        (Caller("CT1", certificate="sha256:" + "ab" * 32), AT),
        (Caller("CT1", certificate="CN=cbct1"), AT),
        (Caller("CT1", certificate="CN = cbct1, O=Hospital\\, North"), AT),
    ],
)
def test_who_fits_its_rule_is_let_in(caller: Caller, address: str) -> None:
    assert admit(caller, address=address, certificate=SHOWN) == Admitted(caller)


def test_who_calls_somebody_else_is_told_so_only_if_it_may_call_at_all() -> None:
    access = Access("NODE", (Caller("CT1"),))
    assert access.admit("CT1", "PACS", AT).rejection == CALLED_AE_NOT_RECOGNISED
    assert access.admit("CT2", "PACS", AT).rejection == CALLING_AE_NOT_RECOGNISED
    assert isinstance(Access("NODE", (Caller("CT1"),), False).admit("CT1", "PACS", AT), Admitted)


def test_spaces_around_a_title_do_not_count() -> None:
    assert isinstance(Access("NODE", (Caller("CT1"),)).admit("CT1  ", " NODE", AT), Admitted)


def test_a_caller_with_rules_of_its_own_gains_nothing_from_those_of_everybody() -> None:
    access = Access("NODE", (Caller("*"), Caller("PACS", may=("query",))))
    assert access.admit("CT1", "NODE", AT).accepts(CT)
    assert not access.admit("PACS", "NODE", AT).accepts(CT)


@pytest.mark.parametrize("right", ["store", "query", "retrieve", "commit"])
def test_each_right_opens_its_own_contexts_and_no_others_and_echo_is_always_open(right: str) -> None:
    admitted = admit(Caller("CT1", may=(right,)))
    opened = {uid for uid in (ECHO, CT, FIND, MOVE, GET, COMMITMENT) if admitted.accepts(uid)}
    mine = {"store": {CT}, "query": {FIND}, "retrieve": {MOVE, GET}, "commit": {COMMITMENT}}
    assert opened == {ECHO} | mine[right]


def test_a_modality_may_store_and_ask_for_commitment_but_reads_no_reports() -> None:
    admitted = everybody("NODE").admit("CT1", "NODE", "127.0.0.1")
    assert [admitted.accepts(uid) for uid in (CT, COMMITMENT, FIND, MOVE, GET)] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_storing_may_be_restricted_to_classes() -> None:
    admitted = admit(Caller("CT1", sop_classes=(CT,)))
    assert (admitted.may_store(CT), admitted.may_store(SR)) == (True, False)


def test_who_may_retrieve_takes_storage_contexts_as_scp_only() -> None:
    """C-GET: the caller receives on the association it asked for, and still may not send."""
    admitted = admit(Caller("CT1", may=("retrieve",)))
    assert admitted.accepts(SR, caller_is_scp=True)
    assert not admitted.accepts(SR)
    assert not admitted.may_store(SR)


@given(st.text(min_size=1), st.text(), st.text())
def test_no_text_from_outside_breaks_the_judgement_or_gets_in(
    calling: str, called: str, address: str
) -> None:
    access = Access("NODE", (Caller("CT1", ("192.0.2.0/24",)),))
    assert isinstance(access.admit(calling, called, address), Refusal)


def test_a_class_that_is_no_other_service_is_a_storage_class() -> None:
    assert right_for("1.2.3") == "store"
