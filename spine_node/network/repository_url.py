"""Where an audit record repository is, as the config writes it."""

from __future__ import annotations

from urllib.parse import urlsplit


def target_of(url: str) -> tuple[str, str, int]:
    """Kind, host and port of a repository.

    Raises
    ------
    ValueError
        If it is no such URL.

    Examples
    --------
    >>> target_of("tls://arr.hospital.example")
    ('tls', 'arr.hospital.example', 6514)
    """
    parts = urlsplit(url)
    defaults = {"tls": 6514, "udp": 514}
    if parts.scheme not in defaults or not parts.hostname or parts.path or parts.query or parts.username:
        raise ValueError(f"{url!r} is no repository: write tls://host:port or udp://host:port")
    return parts.scheme, parts.hostname, parts.port or defaults[parts.scheme]
