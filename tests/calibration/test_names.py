"""Names in the ledger carry no credentials, and what only looks a little like them is let through."""

from __future__ import annotations

import pytest

from calibration.errors import CalibrationError
from calibration.names import check_name


@pytest.mark.parametrize(
    "name",
    [
        "rtsp://admin:hunter2@camera/1",
        "rtsp://admin@camera/1",
        "rtsp://user:hunt/er2@h/x",
        "rtsp://user:hunt?er2@h/x",
        "rtsp://user:hunt#er2@[::1]:554/x",
        "rtsp://:hunter2@camera/1",
        "rtsp://user:12hunt/er2@h/x",
        "rtsp://user:1:hunt/er2@h/x",
        "door rtsp://user:hunter2@h/x, the new one",
        "user:hunter2@host/x",
        "user:hunter2@host:554",
        "user:hunter2@10.0.0.5",
        "admin1:23@10.0.0.5",
        "user:hunt/er2@host/x",
        "sip:100:hunter2@pbx.local",
        "rtsp://h/x?password=hunter2",
        "rtsp://h/x?channel=1&pwd=hunter2",
        "rtsp://h/x?user=admin&loginpas=hunter2",
        "host/x?access_token=hunter2",
        "http://h/x?apiKey=hunter2",
        "http://h/x?stream_key=hunter2",
        "http://h/x?X-Amz-Signature=hunter2",
        "http://h/x?sv=1&sig=hunter2",
        "http://h/x#auth=hunter2",
    ],
)
def test_credentials_are_refused_and_not_shown(name: str) -> None:
    with pytest.raises(CalibrationError, match="the scope's name carries credentials") as caught:
        check_name("scope", name)
    assert "hunt" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "default", "front-door~2", "sha256:0123456789abcdef", "clip:two people", "keyed", "archive/2024/door.mp4",
        "rtsp://camera:554/stream1", "rtsp://camera:8554/live@720p", "rtsp://[fe80::1]:554/live@720p", "https://example.org/@user/video",
        "rtsp://cam/realmonitor?channel=1&subtype=0", "http://h/x?bypass=1&author=bob&keyframe=2&passive=1",
        "anna@example.org", "lobby, ask anna@example.org", "mailto:anna@example.org", "sip:100@10.0.0.5:5060",
        "sip:door@pbx.local", "12:30@lobby", "2024-05-01T12:30@lobby/north", "08:15:00@gate.east",
        "who was here? key = 3", "10:30 anna@example.org", "C:\\videos\\a@2x.mp4", "C:/videos/a@2x.mp4",
        "room:3", "a:b@2x", "Büro / 2. Stock", "",
    ],
)  # fmt: skip
def test_other_names_are_not(name: str) -> None:
    check_name("stream", name)
