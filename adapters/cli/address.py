"""Which server, and how it is reached."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from cep.adapters.cli.console import FAILED, CommandError
from cep.adapters.redis.session import Session, public_name
from cep.ports import LogError

_URL_FILE = "CEP_REDIS_URL_FILE"
_PLAIN = ("redis", "valkey")


@dataclass(frozen=True, slots=True)
class Address:
    """A server as it was given; `given` may hold a password, and is never shown. ca: a file of certificates."""

    given: str | None = field(repr=False)
    ca: str | None = None
    allow_plain: bool = False

    def url(self) -> str:
        """Its URL, also from a file. Raises CommandError."""
        url = self.given or _from_file()
        if not url:
            raise CommandError(
                f"no server is given: say --redis redis://HOST:PORT/0, or set CEP_REDIS_URL or {_URL_FILE}"
            )
        if urlsplit(url).scheme in _PLAIN and not is_near(url) and not self.allow_plain:
            raise CommandError(
                f"{public_name(url)} is another machine, and what goes there can be read on the way: say rediss:// for "
                "TLS, or --allow-plain where the network is trusted"
            )
        if self.ca is None:
            return url
        if not Path(self.ca).is_file():
            raise CommandError(f"there is no file {self.ca}: --redis-ca names a file of certificates")
        return f"{url}{'&' if '?' in url else '?'}ssl_ca_certs={quote(self.ca)}"

    def reached(self) -> str:
        """The URL of a server that answers; later it is waited for, but at the start it is a mistake if it does not."""
        url = self.url()
        try:
            Session(url).close()
        except LogError as error:
            raise unreached(error) from error
        return url


def unreached(error: LogError) -> CommandError:
    """What to say of a server that does not answer."""
    return CommandError(f"cannot connect to {error}: start the server, or give another address with --redis", FAILED)


def is_near(url: str) -> bool:
    """Whether a URL names this machine: a socket, or a loopback address. No name is looked up."""
    parts = urlsplit(url)
    host = parts.hostname or ("localhost" if parts.scheme == "unix" or not parts.netloc else "")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _from_file() -> str | None:
    file = os.environ.get(_URL_FILE)
    return Path(file).read_text("utf-8").strip() if file else None
