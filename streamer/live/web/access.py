"""Who may look: whoever shows the token, in a header or once in the login form.

The cookie that the form gives is not the token. It is a time of expiry, signed with a key made from the token, so
nothing is remembered here, and a new token ends all sessions.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable

from pydantic import SecretStr
from starlette.requests import Request

COOKIE = "veilstream_session"
SESSION_SECONDS = 12 * 3600


class Access:
    """Checks of one token; without a token everything is open, and only this machine may ask.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, token: SecretStr | None, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._digest = None if token is None else _sha256(token.get_secret_value())

    @property
    def is_open(self) -> bool:
        return self._digest is None

    def is_token(self, given: str) -> bool:
        """Compared as digests and in constant time, so that neither length nor content show in the time taken."""
        return self._digest is not None and hmac.compare_digest(_sha256(given), self._digest)

    def new_session(self) -> str:
        """Value of the cookie for somebody who showed the token."""
        until = str(int(self._clock()) + SESSION_SECONDS)
        return f"{until}.{self._signature(until)}"

    def allows(self, request: Request) -> bool:
        if self.is_open:
            return True
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(given.strip()):
            return True
        return self._is_session(request.cookies.get(COOKIE, ""))

    def _is_session(self, cookie: str) -> bool:
        until, _, signature = cookie.partition(".")
        # The signature first: what is not signed by us is not even parsed.
        return hmac.compare_digest(
            signature.encode(), self._signature(until).encode()
        ) and self._clock() < int(until)

    def _signature(self, until: str) -> str:
        return hmac.new(self._digest or b"", b"session:" + until.encode(), hashlib.sha256).hexdigest()


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
