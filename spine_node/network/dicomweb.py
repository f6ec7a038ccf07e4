"""Reports out of a DICOMweb server: QIDO-RS for which, WADO-RS for each (PS3.18 10.4 and 10.6).

What speaks is dicomweb-client: it knows the URLs, the media types, and how to take a multipart answer
apart. We page, bound, and put what goes wrong into words. Its own words would quote URLs, and the URL of
a search holds the patient's ID.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests
from dicomweb_client.web import DICOMwebClient
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.errors import InvalidDicomError

from spine_node.errors import PeerUnavailable
from spine_node.network.archive import MOST_STUDIES, Document, Query, studies_of, too_many

TOKEN_VARIABLE = "DICOMWEB_TOKEN"
"""Environment variable with a bearer token; user and password are taken from ~/.netrc."""

_MOST_INSIDE = 10_000
"""Series of a study, and instances of a series, that are listened to."""

Answer = dict[str, dict[str, Any]]
"""One answer in the DICOM JSON model (PS3.18 F)."""


class WebArchive:
    """A DICOMweb server.

    Parameters
    ----------
    url : str
        Base of the services, below which is /studies.
    connect_timeout_s, answer_timeout_s : float
        For the connection, and for each piece of an answer.
    token : str, optional
        Bearer token; by default that of the environment, if there is one.

    Raises
    ------
    ValueError
        If the URL is none, or holds a password.
    """

    def __init__(
        self,
        url: str,
        connect_timeout_s: float = 10.0,
        answer_timeout_s: float = 120.0,
        token: str | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no address of a DICOMweb server: https://HOST/PATH")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "the address of a DICOMweb server ends with its path: write user and password into "
                f"~/.netrc, or a token into the environment variable {TOKEN_VARIABLE}"
            )
        self._url = url.rstrip("/")
        token = os.environ.get(TOKEN_VARIABLE) if token is None else token
        self._client = DICOMwebClient(
            self._url,
            headers={"Authorization": f"Bearer {token}"} if token else None,
            permissive_uid=True,
            timeout=(connect_timeout_s, answer_timeout_s),
        )
        self._client.set_http_retry_params(retry=False)  # who asks is waiting

    def __str__(self) -> str:
        return self._url

    def studies(self, query: Query, most: int = MOST_STUDIES) -> list[str]:
        """See `Archive`."""
        wanted = {keyword: value for keyword, value in query.keys.items() if value}
        answers = self._search(
            lambda **page: self._client.search_for_studies(search_filters=dict(wanted), **page),
            "StudyInstanceUID",
            most,
        )
        if len(answers) > most:
            raise too_many(most)
        return studies_of(({k: _value(answer, k) for k in query.keys} for answer in answers), query)

    def documents(self, study_uid: str) -> list[Document]:
        """See `Archive`."""
        found = set()
        for series in self._search(
            lambda **page: self._client.search_for_series(
                study_uid, search_filters={"Modality": "SR"}, **page
            ),
            "SeriesInstanceUID",
        ):
            if (_value(series, "Modality") or "SR") != "SR":
                continue
            series_uid = _value(series, "SeriesInstanceUID")
            found |= {
                Document(
                    study_uid,
                    series_uid,
                    _value(instance, "SOPInstanceUID"),
                    _value(instance, "SOPClassUID"),
                )
                for instance in self._instances(study_uid, series_uid)
            }
        return sorted(found)

    def fetch(self, documents: Sequence[Document]) -> list[Dataset]:
        """See `Archive`."""
        return [self._fetch_one(document) for document in documents]

    def _instances(self, study_uid: str, series_uid: str) -> list[Answer]:
        return self._search(
            lambda **page: self._client.search_for_instances(study_uid, series_uid, **page), "SOPInstanceUID"
        )

    def _fetch_one(self, document: Document) -> Dataset:
        uids = document.study_uid, document.series_uid, document.sop_instance_uid
        with self._in_words(f"report {document.sop_instance_uid}"), warnings.catch_warnings():
            # Some servers send the part without its envelope, which the library takes and warns of.
            warnings.simplefilter("ignore", UserWarning)
            found = self._client.retrieve_instance(*uids)
        if str(found.get("SOPInstanceUID")) != document.sop_instance_uid:
            raise PeerUnavailable(f"{self} sent another document than report {document.sop_instance_uid}")
        return found

    def _search(
        self, search: Callable[..., list[Answer]], unique: str, most: int = _MOST_INSIDE
    ) -> list[Answer]:
        """All answers of a search, page by page; at most one more than `most`."""
        found: dict[str, Answer] = {}
        while len(found) <= most:
            with self._in_words("the search"):
                page = search(limit=most + 1 - len(found), offset=len(found))
                new = {_value(answer, unique): answer for answer in page}
            if not new.keys() - found.keys() - {""}:  # the end, or a server that knows no offset
                break
            found |= new
        return [answer for uid, answer in found.items() if uid][: most + 1]

    @contextmanager
    def _in_words(self, asked: str) -> Iterator[None]:
        """What may go wrong, as PeerUnavailable."""
        try:
            yield
        except requests.HTTPError as answer:
            status = 0 if answer.response is None else answer.response.status_code
            raise PeerUnavailable(f"{self} answered {asked} with {_status_in_words(status)}") from None
        except requests.Timeout:
            raise PeerUnavailable(f"{self} did not answer {asked} in time") from None
        except requests.ConnectionError as problem:
            tls = isinstance(problem, requests.exceptions.SSLError)
            raise PeerUnavailable(f"no {'trusted ' if tls else ''}connection with {self}") from None
        except (
            requests.RequestException,
            InvalidDicomError,
            ValueError,
            KeyError,
            IndexError,
            TypeError,
            AttributeError,
        ):  # fmt: skip - an answer that is neither DICOM JSON nor DICOM: a login page, another service
            raise PeerUnavailable(
                f"{self} answered {asked} with what is no DICOMweb: is this the base of its services?"
            ) from None


def _value(answer: Answer, keyword: str) -> str:
    """The first value of an attribute; "" where there is none."""
    values = answer.get(f"{tag_for_keyword(keyword):08X}", {}).get("Value") or [""]
    return str(values[0] if values[0] is not None else "")


_STATUSES = {
    401: "we are not logged in: a token in DICOMWEB_TOKEN, or user and password in ~/.netrc",
    403: "we may not",
    404: "no such thing, or this is not the base of its services",
}


def _status_in_words(status: int) -> str:
    return ": ".join(filter(None, [f"HTTP status {status}", _STATUSES.get(status, "")]))
