"""The page in a real browser: headless Chromium, driven over the W3C WebDriver protocol by a small client."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from pydantic import SecretStr

from streamer import anonymize_file, make_settings
from streamer.live.settings import WebSettings
from streamer.live.states import CameraState
from streamer.live.telemetry import CameraTelemetry
from streamer.live.web import start_web

pytest.importorskip("uvicorn", reason="needs the extra `live`")
pytest.importorskip("fastapi", reason="needs the extra `live`")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs Chromium and ChromeDriver")

EXAMPLE = Path(__file__).parents[3] / "examples" / "two_people.mp4"
TOKEN = "correct-horse-battery"

# Root may not use Chromium's sandbox, and a machine without a way out should not be asked to look for one.
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)


class Browser:
    """A headless Chromium with a profile of its own; `emulate` is Chromium's own command beside the standard's."""

    def __init__(
        self, driver: str, chromium: str, profile: Path, width: int = 1280, height: int = 900
    ) -> None:
        self._process = subprocess.Popen(
            [driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._session = ""
        self._base = f"http://127.0.0.1:{self._read_port()}"
        options = {
            "binary": chromium,
            "args": [*_ARGUMENTS, f"--user-data-dir={profile}", f"--window-size={width},{height}"],
        }
        capabilities = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self._session = f"/session/{session['sessionId']}"

    def open(self, url: str) -> None:
        self._call("POST", f"{self._session}/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """Value of a script's `return`."""
        body = {"script": script, "args": list(arguments)}
        return self._call("POST", f"{self._session}/execute/sync", body)

    def wait_for(self, script: str, timeout_seconds: float = 30.0) -> Any:
        """The first true value of a script. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if value := self.run(script):
                return value
            time.sleep(0.1)
        raise TimeoutError(f"the page never came to: {script}")

    def type(self, selector: str, text: str) -> None:
        self._call("POST", f"{self._session}/element/{self._find(selector)}/value", {"text": text})

    def click(self, selector: str) -> None:
        self._call("POST", f"{self._session}/element/{self._find(selector)}/click", {})

    def emulate(self, command: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol."""
        return self._call("POST", f"{self._session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def screenshot(self, path: Path) -> Path:
        path.write_bytes(base64.b64decode(self._call("GET", f"{self._session}/screenshot")))
        return path

    def console(self) -> list[str]:
        """Errors in the console since the last call, violations of the content policy among them."""
        entries = self._call("POST", f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def close(self) -> None:
        if self._session:
            self._call("DELETE", self._session)
        self._process.terminate()
        self._process.wait(10)

    def _find(self, selector: str) -> str:
        body = {"using": "css selector", "value": selector}
        found: dict[str, str] = self._call("POST", f"{self._session}/element", body)
        return next(iter(found.values()))

    def _read_port(self) -> int:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "started successfully on port" in line:
                return int(line.rstrip(".\n").rsplit(" ", 1)[1])
        raise RuntimeError("chromedriver ended before it was ready")

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._base + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(str(DRIVER), str(CHROMIUM), tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def anonymized_jpegs(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The example's first pictures, with their faces replaced by the whole of the pipeline."""
    folder = tmp_path_factory.mktemp("anonymized")
    with av.open(str(EXAMPLE)) as clip, av.open(str(folder / "short.mp4"), "w") as short:
        stream = short.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for frame, _ in zip(clip.decode(video=0), range(4), strict=False):
            short.mux(stream.encode(frame.reformat(format="yuv420p")))
        short.mux(stream.encode(None))
    anonymize_file(folder / "short.mp4", folder / "out.mp4", settings=make_settings())
    with av.open(str(folder / "out.mp4")) as clip:
        pictures = [frame.to_ndarray(format="bgr24") for frame in clip.decode(video=0)]
    return [cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures]


def a_busy_camera(telemetry: CameraTelemetry) -> None:
    telemetry.state(CameraState.RUNNING)
    for _ in range(30):
        telemetry.frame_in()
        telemetry.frame_out()
        telemetry.delay(0.61)
    telemetry.faces(60)
    telemetry.tracks(2)
    telemetry.fallback("too_small")
    telemetry.epsilon(2.0)


def test_the_whole_page(gateway: Any, browser: Browser, anonymized_jpegs: list[bytes]) -> None:
    """Log in, see state, numbers and the anonymized picture; see them change; log out."""
    a_busy_camera(door := gateway.add("door", preview=True))
    yard = gateway.add("yard")
    gateway.previews["door"].put(anonymized_jpegs[0])
    server = start_web(gateway, WebSettings(port=0, token=SecretStr(TOKEN)))
    try:
        browser.open(server.url)
        assert browser.run("return location.pathname") == "/login"
        browser.type("#token", "not the right one at all")
        browser.click("button")
        assert (
            browser.wait_for("return document.querySelector('.warning')?.textContent")
            == "That is not the token."
        )
        browser.console()
        browser.type("#token", TOKEN)
        browser.click("button")

        browser.wait_for("return document.querySelectorAll('article').length === 2")
        assert text_of(browser, "door", "state") == "running"
        assert text_of(browser, "yard", "state") == "connecting"
        assert text_of(browser, "door", "people") == "2"
        assert text_of(browser, "door", "delay") == "0.61 s"
        assert browser.run("return document.querySelector('#total-epsilon').textContent") == "2.0"

        browser.wait_for("return document.querySelector('[data-camera=door] img')?.naturalWidth === 640")
        assert np.abs(shown_colours(browser) - colours_of(anonymized_jpegs[0])).max() < 3

        # A new picture, a lost link and an overload are seen without a reload.
        inverted = cv2.imencode(".jpg", 255 - cv2.imdecode(np.frombuffer(anonymized_jpegs[1], np.uint8), 1))[
            1
        ].tobytes()
        gateway.previews["door"].put(inverted)
        door.state(CameraState.RECONNECTING)
        door.overload(1)
        yard.state(CameraState.RUNNING)
        browser.wait_for(
            "return document.querySelector('[data-camera=door]').dataset.state === 'reconnecting'"
        )
        assert "less often" in text_of(browser, "door", "warning")
        browser.wait_for(f"return ({READ_COLOURS})()[0] > 0")
        deadline = time.monotonic() + 20
        while np.abs(shown_colours(browser) - colours_of(inverted)).max() > 3:
            assert time.monotonic() < deadline, "the new picture never came"

        # After a slot is over there is something to plot.
        browser.wait_for("return document.querySelector('[data-camera=door] [data-plot=delay] path.line')")
        assert "too small 1" in browser.run(
            "return document.querySelector('[data-camera=door] table').textContent"
        )
        assert browser.console() == []
        loaded = browser.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
        assert loaded
        assert [name for name in loaded if not name.startswith((server.url, f"blob:{server.url}"))] == []

        browser.click("#logout button")
        browser.wait_for("return location.pathname === '/login'")
    finally:
        server.stop()


def test_dark_and_light_and_a_gateway_that_goes_away(gateway: Any, browser: Browser) -> None:
    a_busy_camera(gateway.add("door"))
    server = start_web(gateway, WebSettings(port=0))
    try:
        browser.open(server.url)
        browser.wait_for("return document.querySelector('article')")
        brightness = {}
        for scheme in ("light", "dark"):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            browser.emulate("Emulation.setEmulatedMedia", features=features)
            colour = browser.run(
                "return getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)"
            )
            brightness[scheme] = sum(colour)
        assert brightness["light"] > 600
        assert brightness["dark"] < 150
        # Nothing is wider than a telephone.
        browser.emulate(
            "Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True
        )
        assert browser.run("return document.documentElement.scrollWidth") <= 360
    finally:
        browser.emulate("Emulation.clearDeviceMetricsOverride")
        server.stop()
    browser.wait_for("return document.querySelector('#notice').textContent.includes('does not answer')")


def text_of(browser: Browser, camera: str, field: str) -> str:
    script = "return document.querySelector(`[data-camera=${arguments[0]}] [data-field=${arguments[1]}]`).textContent"
    return str(browser.run(script, camera, field))


# Means of a 4 x 4 grid over the picture as the browser shows it.
READ_COLOURS = """() => {
    const whole = Object.assign(document.createElement('canvas'), {width: 640, height: 360});
    const drawn = whole.getContext('2d');
    drawn.drawImage(document.querySelector('[data-camera=door] img'), 0, 0);
    const means = [];
    for (let row = 0; row < 4; row++) for (let column = 0; column < 4; column++) {
        const data = drawn.getImageData(column * 160, row * 90, 160, 90).data;
        const sums = [0, 0, 0];
        for (let at = 0; at < data.length; at++) if (at % 4 < 3) sums[at % 4] += data[at];
        means.push(...sums.map((sum) => sum / (160 * 90)));
    }
    return means;
}"""


def shown_colours(browser: Browser) -> np.ndarray:
    return np.array(browser.run(f"return ({READ_COLOURS})()"))


def colours_of(jpeg: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1)[..., ::-1].astype(np.float64)
    return picture.reshape(4, 90, 4, 160, 3).mean(axis=(1, 3)).ravel()
