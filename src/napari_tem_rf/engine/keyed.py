"""Connections on the loopback for those alone who know the engine's key.

Whoever is logged in can reach a port of the loopback, and a Dask scheduler runs what it is sent.
So both ends of a connection prove that they know a secret of this engine before Dask reads a byte.
The secret is made when the engine starts and goes to its processes through their standard input:
it stands in no file, command line or environment. Nobody but the user (and root) can read or
change what passes over a connection of the loopback, so it is not encrypted, and large images
travel as fast as before. TLS would need certificates, for which Dask needs another package.

The handshake is the challenge and response of `multiprocessing.connection` made mutual: nonces
from both ends, then HMAC-SHA256 over role, port and nonces. The port is in it so that nobody who
took the port of a process that ended can pass on what one end says to another.
"""

import asyncio
import hashlib
import hmac
import secrets
from typing import Any

from distributed.comm.core import FatalCommClosedError
from distributed.comm.registry import backends
from distributed.comm.tcp import (
    TCP,
    BaseTCPBackend,
    BaseTCPConnector,
    BaseTCPListener,
    convert_stream_closed_error,
)
from distributed.security import Security
from tornado.iostream import StreamClosedError

__all__ = ["SCHEME", "KeyedSecurity"]

SCHEME = "keyed"

HANDSHAKE_SECONDS = 10.0

_GREETING = b"napari-tem-rf 1\n"
_NONCE_BYTES = 32
_MAC_BYTES = hashlib.sha256().digest_size


class KeyedSecurity(Security):
    """What Dask hands to the connections of a process: the key, whatever is configured for TLS."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        super().__init__(require_encryption=False)
        self._key = key

    def __repr__(self) -> str:
        return "KeyedSecurity()"

    def get_connection_args(self, role: str) -> dict[str, Any]:
        """Return what `Connector.connect` is given."""
        return {"key": self._key, "require_encryption": False}

    def get_listen_args(self, role: str) -> dict[str, Any]:
        """Return what `Listener` is given."""
        return {"key": self._key, "require_encryption": False}


class Keyed(TCP):
    """A TCP connection whose ends have proved that they know the key."""


def _mac(key: bytes, role: bytes, port: int, nonces: bytes) -> bytes:
    return hmac.digest(key, b"%s %d " % (role, port) + nonces, "sha256")


def _key_of(arguments: dict[str, Any]) -> bytes:
    key = arguments.get("key")
    if not isinstance(key, bytes):
        raise TypeError(f"{SCHEME}:// connections are for the engine that has the key")
    return key


class KeyedConnector(BaseTCPConnector):
    """Connects, and proves both ends to each other."""

    prefix = f"{SCHEME}://"
    comm_class = Keyed
    encrypted = False

    def _get_connect_args(self, **connection_args: Any) -> dict[str, Any]:
        return {}

    async def connect(self, address: str, deserialize: bool = True, **connection_args: Any) -> Any:
        """Return a connection to a listener that knows the key."""
        key = _key_of(connection_args)
        comm = await super().connect(address, deserialize, **connection_args)
        stream = comm.stream
        port = int(address.rpartition(":")[2])
        own = secrets.token_bytes(_NONCE_BYTES)
        try:
            await stream.write(_GREETING + own)
            nonces = own + await stream.read_bytes(_NONCE_BYTES)
            await stream.write(_mac(key, b"connector", port, nonces))
            proof = await stream.read_bytes(_MAC_BYTES)
        except StreamClosedError as error:
            convert_stream_closed_error(self, error)
        except BaseException:
            comm.abort()
            raise
        if not hmac.compare_digest(proof, _mac(key, b"listener", port, nonces)):
            comm.abort()
            raise FatalCommClosedError(f"whoever listens at {address} does not know the key")
        return comm


class KeyedListener(BaseTCPListener):
    """Listens, and hangs up on everyone who does not know the key."""

    prefix = f"{SCHEME}://"
    comm_class = Keyed
    encrypted = False

    def _get_server_args(self, **connection_args: Any) -> dict[str, Any]:
        self._key = _key_of(connection_args)
        return {}

    async def _prepare_stream(self, stream: Any, address: str) -> Any:
        try:
            is_known = await asyncio.wait_for(self._is_known(stream), HANDSHAKE_SECONDS)
        except (OSError, TimeoutError):  # StreamClosedError is an OSError
            is_known = False
        if is_known:
            return stream
        stream.close()
        return None

    async def _is_known(self, stream: Any) -> bool:
        if await stream.read_bytes(len(_GREETING)) != _GREETING:
            return False
        own = secrets.token_bytes(_NONCE_BYTES)
        nonces = await stream.read_bytes(_NONCE_BYTES) + own
        await stream.write(own)
        port = self.get_host_port()[1]
        proof = await stream.read_bytes(_MAC_BYTES)
        if not hmac.compare_digest(proof, _mac(self._key, b"connector", port, nonces)):
            return False
        await stream.write(_mac(self._key, b"listener", port, nonces))
        return True


class KeyedBackend(BaseTCPBackend):
    """TCP on the loopback with a key."""

    _connector_class = KeyedConnector
    _listener_class = KeyedListener


backends[SCHEME] = KeyedBackend()
