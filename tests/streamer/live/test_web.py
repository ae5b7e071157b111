"""The web server: who may look, what is shown, and that nothing but anonymized pictures and counts is served."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from streamer.errors import SettingsError
from streamer.live.settings import WebSettings
from streamer.live.states import CameraState
from streamer.live.web import start_web

httpx = pytest.importorskip("httpx", reason="needs httpx")
pytest.importorskip("uvicorn", reason="needs the extra `live`")
access_module = pytest.importorskip("streamer.live.web.access", reason="needs the extra `live`")
pictures_module = pytest.importorskip("streamer.live.web.pictures")
Access, COOKIE, SESSION_SECONDS = access_module.Access, access_module.COOKIE, access_module.SESSION_SECONDS
Pictures, KEEP_SECONDS = pictures_module.Pictures, pictures_module.KEEP_SECONDS
TOKEN = "correct-horse-battery"
GUARDED = ("/metrics", "/api/summary", "/api/cameras/door/picture.jpg", "/api/cameras/door/stream.mjpeg")
JPEG = b"\xff\xd8 not a face \xff\xd9"


@pytest.fixture
def browse(gateway: Any) -> Iterator[Callable[..., Any]]:
    """`browse(token)` serves the gateway for real, and gives a client."""
    with contextlib.ExitStack() as stack:

        def start(token: str | None = None) -> Any:
            server = start_web(
                gateway, WebSettings(port=0, token=None if token is None else SecretStr(token))
            )
            stack.callback(server.stop)
            return stack.enter_context(httpx.Client(base_url=server.url, timeout=20))

        yield start


def test_without_the_token_nothing_is_shown(gateway: Any, browse: Any) -> None:
    gateway.add("door", preview=True).faces(12345)
    gateway.previews["door"].put(JPEG)
    web = browse(TOKEN)
    attempts: list[tuple[str, dict[str, str]]] = [(path, {}) for path in GUARDED]
    attempts += [
        ("/api/summary", headers)
        for headers in (
            {"Authorization": "Bearer wrong-wrong-wrong-wrong"},
            {"Authorization": f"Basic {TOKEN}"},
            {"Cookie": f"{COOKIE}={TOKEN}"},
            {"Cookie": f"{COOKIE}=99999999999.{'0' * 64}"},
            {"Cookie": f"{COOKIE}=."},
        )
    ]
    for path, headers in attempts:
        answer = web.get(path, headers=headers)
        assert answer.status_code == 401
        assert "door" not in answer.text
        assert "12345" not in answer.text
    assert gateway.previews["door"].viewers == 0


def test_the_token_opens_by_header_and_not_in_the_url(gateway: Any, browse: Any) -> None:
    gateway.add("door")
    web = browse(TOKEN)
    assert web.get("/api/summary", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert web.get(f"/api/summary?token={TOKEN}").status_code == 401


def test_the_form_gives_a_session_that_is_not_the_token(gateway: Any, browse: Any) -> None:
    gateway.add("door")
    web = browse(TOKEN)
    assert web.get("/").headers["location"] == "/login"
    wrong = web.post("/login", data={"token": "wrong"})
    assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
    right = web.post("/login", data={"token": TOKEN})
    assert (right.status_code, right.headers["location"]) == (303, "/")
    cookie = right.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert web.get("/").status_code == 200
    assert web.get("/api/summary").json()["has_login"] is True
    web.post("/logout")
    assert web.get("/api/summary").status_code == 401


def test_over_https_the_cookie_stays_there(gateway: Any, browse: Any) -> None:
    gateway.add("door")
    answer = browse(TOKEN).post("/login", data={"token": TOKEN}, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in answer.headers["set-cookie"]


def test_a_form_that_is_too_large_is_refused(gateway: Any, browse: Any) -> None:
    assert browse(TOKEN).post("/login", content=b"token=" + b"x" * 10_000).status_code == 413


def test_sessions_expire_and_end_with_the_token() -> None:
    now = 1000.0
    access = Access(SecretStr(TOKEN), clock=lambda: now)
    request = _request_with_cookie(access.new_session())
    assert access.allows(request)
    assert not Access(SecretStr("another-token-entirely"), clock=lambda: now).allows(request)
    now += SESSION_SECONDS + 1
    assert not access.allows(request)


def _request_with_cookie(value: str) -> Any:
    from starlette.requests import Request

    return Request({"type": "http", "headers": [(b"cookie", f"{COOKIE}={value}".encode())]})


def test_without_a_token_only_this_machine_by_its_own_name_may_ask(gateway: Any, browse: Any) -> None:
    gateway.add("door")
    web = browse()
    for host, status in (
        ("127.0.0.1:8080", 200),
        ("localhost", 200),
        # A web page elsewhere that lets its own name point to 127.0.0.1.
        ("evil.example", 400),
    ):
        assert web.get("/api/summary", headers={"Host": host}).status_code == status


def test_it_does_not_start_where_others_can_reach_it_without_a_token(gateway: Any) -> None:
    open_to_all = WebSettings.model_construct(host="0.0.0.0", port=0, token=None)
    with pytest.raises(SettingsError, match="can be reached from other machines"):
        start_web(gateway, open_to_all)


def test_health_is_open_and_names_no_camera(gateway: Any, browse: Any) -> None:
    door = gateway.add("door")
    web = browse(TOKEN)
    assert web.get("/healthz").json() == {"status": "ok"}
    waiting = web.get("/readyz")
    assert (waiting.status_code, waiting.json()["cameras_waiting"]) == (503, 1)
    door.frame_out(placeholder=True)
    assert web.get("/readyz").status_code == 200
    door.state(CameraState.FAILED)
    assert web.get("/readyz").status_code == 503
    gateway.healthy = False
    assert web.get("/healthz").status_code == 503
    assert "door" not in web.get("/healthz").text + waiting.text


def test_a_camera_that_puts_out_nothing_is_not_ready(
    gateway: Any, browse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamer.live.health.LATE_AFTER_SECONDS", 0.0)
    gateway.add("door").frame_out()
    time.sleep(0.01)
    web = browse()
    assert web.get("/readyz").status_code == 503
    gateway.telemetries[0].state(CameraState.ENDED)
    assert web.get("/readyz").status_code == 200


def test_every_answer_forbids_what_the_page_does_not_need(gateway: Any, browse: Any) -> None:
    web = browse(TOKEN)
    for path in ("/", "/login", "/healthz", "/metrics", "/static/app.js", "/nowhere"):
        headers = web.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
        assert "server" not in headers
    for path in ("/docs", "/openapi.json", "/redoc", "/static/../app.py", "/static/..%2fapp.py"):
        assert web.get(path, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 404


def test_pages_load_nothing_from_elsewhere(gateway: Any, browse: Any) -> None:
    web = browse(TOKEN)
    web.post("/login", data={"token": TOKEN})
    for path in ("/", "/login", "/static/app.js", "/static/plots.js", "/static/style.css"):
        text = web.get(path).text.replace("http://www.w3.org/2000/svg", "")
        assert text
        assert "//" not in text.replace("// ", "") or path.endswith(".js")
        assert "http://" not in text
        assert "https://" not in text
        assert "<script>" not in text
        assert " style=" not in text


def test_the_summary_counts_a_shared_scope_once(gateway: Any, browse: Any) -> None:
    from streamer.live.telemetry import CameraTelemetry

    for name, spent in (("door", 4.0), ("yard", 3.0)):
        telemetry = CameraTelemetry(name, scope="site")
        telemetry.epsilon(spent)
        gateway.telemetries.append(telemetry)
    gateway.add("hall").epsilon(1.5)
    got = browse().get("/api/summary").json()
    assert got["epsilon_spent"] == 5.5
    assert [camera["name"] for camera in got["cameras"]] == ["door", "yard", "hall"]


def test_pictures_come_once_each_and_only_from_the_preview(gateway: Any) -> None:
    gateway.add("door", preview=True)
    gateway.add("yard")
    preview = gateway.previews["door"]
    server = start_web(gateway, WebSettings(port=0))
    with httpx.Client(base_url=server.url, timeout=20) as web:
        assert web.get("/api/cameras/door/picture.jpg").status_code == 204
        preview.put(JPEG)
        first = web.get("/api/cameras/door/picture.jpg")
        assert (first.content, first.headers["x-picture"]) == (JPEG, "1")
        assert web.get("/api/cameras/door/picture.jpg?after=1").status_code == 204
        assert web.get("/api/cameras/yard/picture.jpg").status_code == 404
        assert web.get("/api/cameras/..%2fdoor/picture.jpg").status_code == 404
        assert preview.viewers == 1
    server.stop()
    # The server has gone, and with it the viewer.
    assert preview.viewers == 0


def test_a_preview_that_nobody_asks_for_is_let_go(gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.add("door", preview=True)
    pictures = Pictures(gateway)
    now = 100.0
    monkeypatch.setattr("streamer.live.web.pictures.time.monotonic", lambda: now)
    pictures.latest("door")
    assert gateway.previews["door"].viewers == 1
    now += KEEP_SECONDS + 1
    pictures._close_older_than(now - KEEP_SECONDS)
    assert gateway.previews["door"].viewers == 0
    pictures.latest("door")
    assert gateway.previews["door"].viewers == 1


def test_mjpeg_gives_each_new_picture_once_and_lets_go_when_the_viewer_leaves(gateway: Any) -> None:
    gateway.add("door", preview=True)
    preview = gateway.previews["door"]

    async def watch() -> list[bytes]:
        parts = await Pictures(gateway).mjpeg("door")
        preview.put(JPEG)
        got = [await anext(parts)]
        preview.put(JPEG + b"2")
        got.append(await anext(parts))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(parts), 0.15)
        await parts.aclose()  # type: ignore[attr-defined]
        return got

    first, second = asyncio.run(watch())
    assert first.startswith(b"--veilstream-picture\r\nContent-Type: image/jpeg\r\n")
    assert JPEG in first
    assert JPEG + b"2" in second
    assert preview.viewers == 0


@pytest.fixture
def served(gateway: Any) -> Iterator[Any]:
    gateway.add("door", preview=True)
    server = start_web(gateway, WebSettings(port=0))
    yield server
    server.stop()


def test_it_serves_in_a_thread_and_stops_while_a_stream_is_open(gateway: Any, served: Any) -> None:
    gateway.previews["door"].put(JPEG)
    assert served.host == "127.0.0.1"
    with (
        httpx.Client(base_url=served.url, timeout=10) as web,
        web.stream("GET", "/api/cameras/door/stream.mjpeg") as stream,
    ):
        assert stream.headers["content-type"].startswith("multipart/x-mixed-replace; boundary=")
        assert JPEG in next(stream.iter_bytes())
        assert web.get("/healthz").status_code == 200
        started = time.monotonic()
        served.stop()
        assert not served.is_running
        assert time.monotonic() - started < 5
    assert gateway.previews["door"].viewers == 0


def test_a_port_in_use_is_one_clear_line(gateway: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(
            SettingsError, match=r"web: cannot listen on 127.0.0.1 port \d+ \(.+\); give another"
        ):
            start_web(gateway, WebSettings(port=taken.getsockname()[1]))
    with pytest.raises(SettingsError, match="no address of this machine"):
        start_web(gateway, WebSettings(host="nowhere.invalid", port=0, token=SecretStr(TOKEN)))
