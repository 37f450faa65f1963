"""Addresses of Dask schedulers: what is one, and who may connect to it."""

import os
from typing import Any
from urllib.parse import urlsplit

from napari_tem_rf.engine.job import EngineUnavailableError

__all__ = ["security_for"]

_SCHEMES = ("tcp", "tls", "ws", "wss")

_FILES = {
    "ca-file": "DASK_DISTRIBUTED__COMM__TLS__CA_FILE",
    "client.cert": "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT",
    "client.key": "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY",
}
"""What Dask's configuration calls the certificate files, and the environment variables for it."""


def security_for(address: str) -> Any:
    """Return what a client of the scheduler at an address has to identify itself.

    Returns
    -------
    distributed.Security
        As Dask is configured, by its files or by the environment.

    Raises
    ------
    EngineUnavailableError
        It is not an address, or it wants certificates that are not there or do not fit together.
    """
    from distributed.security import Security

    scheme = _scheme_of(address)
    try:
        security = Security()
        if scheme not in ("tls", "wss"):
            return security
        _check_files(address)
        # loads the files
        security.get_connection_args("client")
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        text = " ".join(str(error).split())
        raise EngineUnavailableError(
            f"the certificates for {address} cannot be used ({type(error).__name__}: {text}): give "
            f"three PEM files that belong together in {', '.join(_FILES.values())}"
        ) from error
    return security


def _scheme_of(address: str) -> str:
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, rest = "tcp", address
    try:
        parts = urlsplit(f"//{rest}")
        is_one = scheme in _SCHEMES and bool(parts.hostname) and bool(parts.port)
    except ValueError:  # a port that is not a number from 0 to 65535
        is_one = False
    if not is_one or not rest.isprintable() or any(map(str.isspace, rest)):
        raise EngineUnavailableError(
            f"{address!r} is not the address of a Dask scheduler: it looks like "
            "tcp://10.0.0.7:8786, or tls://10.0.0.7:8786 for one with certificates"
        )
    return scheme


def _check_files(address: str) -> None:
    import dask

    for name, variable in _FILES.items():
        path = dask.config.get(f"distributed.comm.tls.{name}", None)
        if not path and name == "client.key":
            continue  # it may stand in the file of the certificate
        if not path:
            raise EngineUnavailableError(
                f"{address} wants certificates and none is configured: name the PEM files in "
                f"{', '.join(_FILES.values())}, or in Dask's configuration file"
            )
        if "\n" not in path and not os.access(path, os.R_OK):
            raise EngineUnavailableError(
                f'the certificate file "{path}" ({variable}) cannot be read: check the path and '
                "its permissions"
            )
