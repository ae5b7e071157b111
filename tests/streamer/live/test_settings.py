"""A gateway's settings: every mistake is one line that names the camera and the key, and none shows a secret."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from streamer.errors import SettingsError
from streamer.live.config import load_config, parse_config
from streamer.live.settings import CameraSettings, GatewaySettings, PushOutput, WebSettings
from streamer.live.urls import SourceUrl

EXAMPLE = Path(__file__).parents[3] / "examples" / "cameras.yml"
PASSWORD = "p@ss/w:rd#1"
TOKEN = "0123456789abcdef0123"


def camera(**changes: Any) -> dict[str, Any]:
    return {"name": "door", "input": "rtsp://cam/live", "outputs": [{"kind": "preview"}], **changes}


def message(content: dict[str, Any], **environment: str) -> str:
    """The one line that a mistake gives."""
    with pytest.raises(SettingsError) as caught:
        parse_config(content, where="cameras.yml", environment=environment)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("cameras.yml: ")
    # Nothing else of the input hangs on the exception.
    assert caught.value.__cause__ is None
    return text.removeprefix("cameras.yml: ")


def test_the_example_says_what_it_means() -> None:
    settings = load_config(
        EXAMPLE,
        {
            "VEILSTREAM_TOKEN": TOKEN,
            "ENTRANCE_USER": "viewer",
            "ENTRANCE_PASSWORD": PASSWORD,
            "PUBLISH_USER": "publisher",
            "PUBLISH_PASSWORD": "other",
        },
    )
    entrance, yard = settings.cameras
    assert entrance.input.reveal() == "rtsp://viewer:p%40ss%2Fw%3Ard%231@10.0.0.11/stream1"
    assert [output.kind for output in entrance.outputs] == ["push", "segments", "preview"]
    assert (yard.transport.value, yard.privacy.mechanism.value) == ("udp", "uniform")
    assert len(entrance.zones) == len(entrance.ignore) == 1


def test_a_camera_takes_the_shared_settings_and_a_scope_of_its_own() -> None:
    content = {
        "ledger": "all.jsonl",
        "detector": "yunet",
        "cameras": [
            camera(look_ahead_seconds=0.25),
            camera(name="yard", privacy={"scope": "outside", "ledger": "yard.jsonl"}),
        ],
    }
    settings = parse_config(content, where="x")
    door, yard = (settings.anonymize_settings(each) for each in settings.cameras)
    assert (door.privacy.scope, door.privacy.ledger) == ("door", Path("all.jsonl"))
    assert (yard.privacy.scope, yard.privacy.ledger) == ("outside", Path("yard.jsonl"))
    assert (door.analysis.detector.value, door.analysis.look_ahead_seconds) == ("yunet", 0.25)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            {"cameras": [camera(transprot="udp")]},
            "camera 'door': transprot is not a known key; did you mean transport?",
        ),
        ({"camras": []}, "cameras is missing"),
        ({"cameras": [{"name": "door"}]}, "camera 'door': input is missing"),
        ({"cameras": [camera(), camera(name="Door")]}, "two cameras are named 'door'; names must differ"),
        ({"cameras": [camera(name="../door")]}, "camera '../door': name: a name has 1 to 63 letters"),
        ({"cameras": [camera(outputs=[])]}, "camera 'door': outputs: list should have at least 1 item"),
        (
            {"cameras": [camera(outputs=[{"kind": "hls", "folder": "x", "keep": 1}])]},
            "camera 'door': outputs[0].keep: input should be greater than or equal to 3",
        ),
        ({"cameras": [camera(outputs=[{"kind": "dvd"}])]}, "camera 'door': outputs[0]: input tag 'dvd'"),
        ({"cameras": [camera(privacy={"epsilon": -1})]}, "camera 'door': privacy.epsilon: input should be"),
        ({"cameras": [camera(analysis={"detector": "yunet"})]}, "camera 'door': analysis: detector is shared"),
        ({"cameras": [camera()], "engine": "abacus"}, "engine must be one of auto"),
        ({"cameras": [camera(input="ftp://cam/live")]}, "camera 'door': input: scheme ftp:// is not supported"),
        ({"cameras": [camera(input="rtsp://")]}, "camera 'door': input: host and port cannot be read"),
        ({"cameras": [camera(input="rtsp://cam/a\r\nX: 1")]}, "camera 'door': input: it is empty, or has"),
        (
            {"cameras": [camera(outputs=[{"kind": "push", "url": "http://srv/x"}])]},
            "camera 'door': outputs[0].url: cannot push to http",
        ),
        (
            {"cameras": [camera(outputs=[{"kind": "hls", "folder": "x", "encode": {"hardware": "auto"}}])]},
            "camera 'door': outputs[0].encode: live video is encoded in software",
        ),
        ({"cameras": [camera(input="${CAM}")]}, "camera 'door': input: the environment variable CAM is not set"),
        ({"cameras": [camera(input="${}")]}, "camera 'door': input: ${...} must hold the name"),
        ({"cameras": [camera(outputs=[{"kind": "preview"}] * 2)]}, "camera 'door': a camera has at most one"),
        ({"cameras": [camera()], "web": {"host": "0.0.0.0"}}, "web: host 0.0.0.0 can be reached from other"),
        ({"cameras": [camera()], "web": {"token": "short"}}, "web.token: a token has at least 16 characters"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_that_names_camera_and_key(content: dict[str, Any], expected: str) -> None:
    assert message(content).startswith(expected)


@pytest.mark.parametrize(
    ("polygon", "expected"),
    [
        ([[0, 0], [1, 1]], "3 to 64 corners"),
        ([[0, 0], [1, 0], [1, 1.2]], "outside 0..1"),
        ([[0, 0], [1, 0], [float("nan"), 1]], "outside 0..1"),
        ([[0, 0], [0.5, 0.5], [1, 1]], "no area"),
        ([[0, 0], [1, 1], [1, 0], [0, 0.7]], "crosses itself"),
    ],
)
def test_a_polygon_that_would_not_cover_what_it_seems_to_is_refused(
    polygon: list[list[float]], expected: str
) -> None:
    text = message({"cameras": [camera(zones=[[[0, 0], [1, 0], [1, 1]], polygon])]})
    assert text.startswith("camera 'door': zones[1]: ")
    assert expected in text


def test_outputs_never_share_a_place(tmp_path: Path) -> None:
    def cameras(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
        return {"cameras": [camera(outputs=[first]), camera(name="yard", outputs=[second])]}

    hls = {"kind": "hls", "folder": str(tmp_path / "a")}
    inside = {"kind": "segments", "folder": str(tmp_path / "b" / ".." / "a" / "day")}
    push = {"kind": "push", "url": "rtsp://u:secret-1@srv/live"}
    assert "cameras 'door' and 'yard' write to the same place" in message(cameras(hls, hls))
    assert "write to the same place" in message(cameras(hls, inside))
    text = message(cameras(push, push))
    assert "write to the same place (rtsp://srv/live)" in text
    loop = camera(input="rtsp://srv/live", outputs=[{"kind": "push", "url": "rtsp://srv/live"}])
    assert "which is also an input" in message({"cameras": [loop]})


def test_a_file_is_read_with_one_line_for_each_way_it_can_be_wrong(
    tmp_path: Path,
) -> None:
    def error_of(text: str) -> str:
        path = tmp_path / "cameras.yml"
        path.write_text(text)
        with pytest.raises(SettingsError) as caught:
            load_config(path, {})
        return str(caught.value).removeprefix(str(path))

    assert (
        error_of("cameras: [") == ", line 1, column 11: not valid YAML; check indentation, quotes and colons"
    )
    # YAML's own text would quote the alias, which here is somebody's password.
    assert "hunter2" not in error_of("web: {token: *hunter2}")
    assert error_of("threads: 1\nthreads: 2\n") == ", line 2: this key was given before; keep one"
    assert error_of("- a\n") == ": expected a list of cameras under the key cameras"
    with pytest.raises(SettingsError, match="cannot be read"):
        load_config(tmp_path / "none.yml")


def test_variables_are_values_and_never_structure() -> None:
    content = {"cameras": [camera(name="${NAME}", input="${WHOLE}")]}
    settings = parse_config(content, where="x", environment={"NAME": "a", "WHOLE": "rtsp://u:p@h/a"})
    assert settings.cameras[0].input.reveal() == "rtsp://u:p@h/a"
    assert message(content, NAME="a: [b]", WHOLE="x").startswith("camera '${NAME}': name: a name has")
    cost = parse_config({"cameras": [camera(input="pay$$me.mp4")]}, where="x", environment={})
    assert cost.cameras[0].input.reveal() == "pay$me.mp4"


@pytest.fixture
def secretive() -> GatewaySettings:
    """Settings with a secret in every place that can hold one."""
    content = {
        "web": {"token": TOKEN},
        "cameras": [
            camera(
                input="rtsp://admin:${PASSWORD}@cam:8554/live?session=tok3ntok3n",
                outputs=[
                    {"kind": "push", "url": "rtmp://srv/app/str3amk3y"},
                    {"kind": "push", "url": "srt://srv:9000?passphrase=passphras3"},
                ],
            ),
            camera(name="dvr", input="rtsp://dvr/user=root&password=dvrpass1&channel=1"),
        ],
    }
    return parse_config(content, where="x", environment={"PASSWORD": PASSWORD})


SECRETS = (PASSWORD, "p%40ss", "admin", "tok3ntok3n", "str3amk3y", "passphras3", "dvrpass1", TOKEN)


@pytest.mark.parametrize(
    "show",
    [repr, str, lambda s: f"{s.cameras[0].input}", lambda s: str(s.model_dump()), lambda s: s.model_dump_json()],
)  # fmt: skip
def test_no_secret_in_anything_printed(secretive: GatewaySettings, show: Callable[[Any], str]) -> None:
    shown = show(secretive)
    assert not [secret for secret in SECRETS if secret in shown]
    assert "rtsp://cam:8554/live" in shown


def test_secrets_are_listed_for_the_log_filter(secretive: GatewaySettings) -> None:
    listed = secretive.secrets()
    for secret in (PASSWORD, "p%40ss%2Fw%3Ard%231", "tok3ntok3n", "str3amk3y", "passphras3", TOKEN):
        assert secret in listed
    assert any("dvrpass1" in secret for secret in listed)


def test_a_url_is_not_pickled_and_not_in_errors(secretive: GatewaySettings) -> None:
    with pytest.raises(TypeError, match="credentials"):
        pickle.dumps(secretive.cameras[0].input)
    for model, values in (
        (CameraSettings, camera(input="nope://u:hunter2@cam")),
        (PushOutput, {"kind": "push", "url": "http://u:hunter2@cam"}),
        (WebSettings, {"token": "hunter2"}),
    ):
        with pytest.raises(ValidationError) as caught:
            model.model_validate(values)
        assert "hunter2" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("url", ["rtsp://u:a/b@cam/live", "rtsp://u:a/b@c@cam/live", "rtsp://u:p@cam:port/"])
def test_a_password_that_would_move_the_host_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="percent-encode") as caught:
        SourceUrl(url)
    assert "a/b" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "scheme"),
    [("/dev/video0", "device"), ("clip.mp4", "file"), ("RTSP://cam/x", "rtsp"), ("udp://@239.0.0.1:1234", "udp")],
)  # fmt: skip
def test_kinds_of_sources(given: str, scheme: str) -> None:
    assert SourceUrl(given).scheme == scheme
