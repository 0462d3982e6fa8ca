"""What a client of HTTP takes from the environment: proxies and certificates, which may not be usable."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from reward.errors import EnvironmentFault

_VARIABLES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


@contextlib.contextmanager
def usable_environment(where: str) -> Iterator[None]:
    """Turn what the making of a client raises for its proxies and certificates into one line; no value is shown.

    Args:
        where: The judge, for the message.

    Raises:
        EnvironmentFault: With the names of the variables and what to do. A proxy is looked at even if no request would
            go through it, such as for a judge on this machine.
    """
    try:
        yield
    except Exception as error:  # the client has its own classes, and one for each kind of mistake
        names = [name for one in _VARIABLES for name in (one, one.lower()) if os.environ.get(name)]
        if not names:
            raise
        socks = [name for name in names if os.environ[name].lower().startswith("socks")]
        without = " ".join(f"-u {name}" for name in socks or names)
        if isinstance(error, ImportError) and socks:
            raise EnvironmentFault(
                f"{where}: {', '.join(socks)} names a SOCKS proxy, for which the package socksio is missing; install "
                f"it (pip install socksio), or repeat the command without the proxy: env {without} ex2 …"
            ) from error
        raise EnvironmentFault(
            f"{where}: no connection can be prepared with {', '.join(names)} of the environment; correct their values, "
            f"or repeat the command without them: env {without} ex2 …"
        ) from error
