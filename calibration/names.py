"""Names that stand in the ledger for good: streams, sessions and scopes. None may carry a password or a token.

What is refused, wherever it stands in the text: user or password in front of a URL's host, also where the password
holds a slash or there is no scheme; and a parameter of a query or fragment whose name says that it is a secret. What is
not: other parameters (`?channel=1&subtype=0`), mail and SIP addresses, an @ in a path, times of day.
"""

from __future__ import annotations

import re

from calibration.errors import CalibrationError

# Without these the rest of an address is no user with a password; the numbers of IPv6 are no port.
_HARMLESS = re.compile(r"(?<!\w)(?:sips?|mailto|xmpp|acct):(?!//)|\[[0-9a-f:.]*\]", re.IGNORECASE)
_USER_OF_URL = re.compile(r"://[^/\s]*@")
# A password with a slash, ? or # in it. Up to five digits and a slash are a port, and an @ behind them is the path's.
_PASSWORD_OF_URL = re.compile(r"://[^/?#\s@:]*:(?!\d{1,5}/)\S*@")
_WITHOUT_SCHEME = re.compile(r"(?<!\S)([^\s/?#@:]+:[^\s@/\\][^\s@]*)@[\w-]+(?:\.[\w-]|[/:])")
_TIME_OF_DAY = re.compile(r"(?:[\dT_.-]*\D)?\d{1,2}:\d{2}(?::\d{2})?")
_SECRET_PARAMETER = re.compile(
    r"""[?&\#] [^=?&\#\s]*?
    (?: (?<!by)(?<!com)pass(?!ive|through|age) | pwd | psw | loginpas | token | secret | credential | signature | jwt
      | auth(?!or) | (?<![a-z])sig(?![a-z]) | (?<![a-z])key(?!frame|int) | (?:api|access|private|stream)key )
    [^=?&\#\s]* = [^&\#\s]""",
    re.IGNORECASE | re.VERBOSE,
)


def check_name(kind: str, name: str) -> None:
    """Raises CalibrationError, which does not show the name, when it carries credentials.

    Args:
        kind: what is named, for the message: "stream", "scope", "session".
    """
    text = _HARMLESS.sub("", name)
    found = (
        _USER_OF_URL.search(text)
        or _PASSWORD_OF_URL.search(text)
        or _SECRET_PARAMETER.search(text)
        or any(not _TIME_OF_DAY.fullmatch(match[1]) for match in _WITHOUT_SCHEME.finditer(text))
    )
    if found:
        raise CalibrationError(f"the {kind}'s name carries credentials: name it without them")
