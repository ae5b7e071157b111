"""What deploy/ says fits what the project is: arguments, extras, variables, metrics, and no secret."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from streamer.cli.app import app
from streamer.cli.exit_codes import USAGE
from streamer.cli.places import default_ledger_path
from streamer.live.metrics import metrics_registry, metrics_text
from streamer.live.settings import WebSettings
from streamer.live.states import CameraState
from streamer.render.compositor import FallbackReason

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "veilstream.service"
DOCKERFILES = [DEPLOY / "Dockerfile", DEPLOY / "Dockerfile.gpu"]


class _ReachedConfig(Exception):
    pass


@pytest.fixture
def config_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], str]:
    """`config_of(arguments)`: the file that the command line would read with these arguments."""

    def reached(path: Path) -> None:
        raise _ReachedConfig(str(path))

    monkeypatch.setattr("streamer.cli.stream.load_config", reached)

    def parse(arguments: list[str]) -> str:
        with pytest.raises(_ReachedConfig) as caught:
            app(arguments, standalone_mode=False)
        return str(caught.value)

    return parse


def unit_values(key: str) -> list[str]:
    return [line.partition("=")[2] for line in UNIT.read_text().splitlines() if line.startswith(f"{key}=")]


def test_the_unit_starts_what_the_command_line_understands(config_of: Any) -> None:
    command = shlex.split(unit_values("ExecStart")[0])
    assert command[0].endswith("/veilstream")
    assert config_of(command[1:]) == "/etc/veilstream/cameras.yml"
    # Type=notify would wait for ever: nothing here notifies.
    assert unit_values("Type") == ["exec"]
    assert unit_values("Restart") == ["on-failure"]
    assert unit_values("RestartPreventExitStatus") == [str(USAGE)]
    # Secrets come from a file, not from the unit, which everybody can read.
    assert unit_values("EnvironmentFile") == ["-/etc/veilstream/environment"]
    assert not re.search(r"(?i)^Environment=.*(token|password|secret)", UNIT.read_text(), re.MULTILINE)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_accepts_the_unit_and_finds_it_hardened(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/veilstream/bin/veilstream", sys.executable))
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=60
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", str(copy)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "unrecognized option" in rated.stderr:
        pytest.skip("this systemd-analyze does not rate files")
    assert rated.returncode == 0, rated.stdout[-400:]


def instructions(path: Path) -> list[tuple[str, str]]:
    """(instruction, arguments) of a Dockerfile."""
    text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [
        (line.split(" ", 1)[0], line.split(" ", 1)[1].strip()) for line in text.splitlines() if line.strip()
    ]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_follows_the_conventions(path: Path, config_of: Any) -> None:
    steps = instructions(path)
    names = [name for name, _ in steps]
    bases = [value for name, value in steps if name == "FROM"]
    assert len(bases) == 2, "one stage builds, one runs"
    for base in bases:
        assert re.fullmatch(r"[\w/]+:\d+\.\d+\.\d+-[\w.-]+( AS build)?", base), f"{base} is not pinned"
    last = steps[len(names) - 1 - names[::-1].index("FROM") :]
    assert [value for name, value in last if name == "USER"] == ["10001:10001"]
    assert all("pip install" not in value for name, value in last if name == "RUN")
    entry, command, check = (
        json.loads(value.removeprefix("--").split("CMD ", 1)[-1])
        for wanted in ("ENTRYPOINT", "CMD", "HEALTHCHECK")
        for name, value in last
        if name == wanted
    )
    assert entry == ["veilstream"]
    assert config_of(command) == "/etc/veilstream/cameras.yml"
    assert "/healthz" in check[-1]
    compile(check[-1], "healthcheck", "exec")
    for name, value in steps:
        if name in ("ENV", "ARG"):
            assert not re.search(r"(?i)token|password|secret|key=", value)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_says_where_its_page_and_its_state_are(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The port is the page's own; the ledger and compiled engines lie in the volume, which belongs to the user."""
    steps = instructions(path)
    last = dict(steps[[name for name, _ in steps].index("FROM", 1) :])
    port = WebSettings.model_fields["port"].default
    assert last["EXPOSE"] == str(port)
    variables = dict(re.findall(r"(\w+)=(\S+)", last["ENV"]))
    assert variables["WEB_PORT"] == str(port)
    assert f"-p 127.0.0.1:{port}:{port}" in path.read_text()
    volume = Path(last["VOLUME"])
    assert last["WORKDIR"] == str(volume)
    assert f"install -d -o veilstream -g veilstream -m 0750 {volume}" in last["RUN"]
    assert f":{volume}" in path.read_text()
    monkeypatch.setenv("XDG_STATE_HOME", variables["XDG_STATE_HOME"])
    assert default_ledger_path().parent == volume
    if "gpu" in path.name:
        assert Path(variables["XDG_CACHE_HOME"]).is_relative_to(volume)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_installs_extras_that_exist_from_files_that_are_sent(path: Path) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    steps = instructions(path)
    extras = (
        next(value for name, value in steps if value.startswith("EXTRAS=")).removeprefix("EXTRAS=").split(",")
    )
    assert "live" in extras
    assert set(extras) <= set(setup["options.extras_require"])
    assert "veilstream = streamer.cli:main" in setup["options.entry_points"]["console_scripts"]
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*", "everything is left out but what is named"
    sent = [line[1:] for line in lines if line.startswith("!")]
    for name, value in steps:
        if name != "COPY" or value.startswith("--from"):
            continue
        for source in value.split()[:-1]:
            assert (ROOT / source).exists()
            assert source in sent
    for private in ("environment", "ledger.jsonl", "cameras.yml", ".git", "deploy/environment.example"):
        assert not any(fnmatch(private, pattern) for pattern in sent)


def test_the_health_check_asks_what_the_server_answers(gateway: Any) -> None:
    server_module = pytest.importorskip("streamer.live.web.server", reason="needs the extra `live`")
    from streamer.live.web.app import create_app

    script = next(value for name, value in instructions(DOCKERFILES[0]) if name == "HEALTHCHECK")
    check = json.loads(script.split("CMD ", 1)[1])[-1]
    server = server_module.serve_in_thread(create_app(gateway, None), "127.0.0.1", 0)
    try:
        for healthy in (True, False):
            gateway.healthy = healthy
            done = subprocess.run(
                [sys.executable, "-c", check],
                env={"WEB_PORT": str(server.port)},
                stderr=subprocess.DEVNULL,
                timeout=60,
            )
            assert (done.returncode == 0) is healthy
    finally:
        server.stop()


def test_the_environment_file_has_the_names_of_the_example_and_no_values() -> None:
    lines = [line for line in (DEPLOY / "environment.example").read_text().splitlines() if line[:1] != "#"]
    names = {line.removesuffix("=") for line in lines}
    assert all(line.endswith("=") for line in lines)
    used = re.findall(r"\$\{(\w+)\}", re.sub(r"#.*", "", (ROOT / "examples" / "cameras.yml").read_text()))
    assert names == set(used)


def test_alerts_ask_for_metrics_reasons_and_states_that_exist(gateway: Any) -> None:
    door = gateway.add("door")
    door.frame_dropped("x")
    door.fallback("x")
    door.fail_closed("x")
    families = text_string_to_metric_families(metrics_text(metrics_registry(gateway)).decode())
    samples = {sample.name for family in families for sample in family.samples} | {"up"}
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]
    source = "\n".join(path.read_text() for path in (ROOT / "streamer" / "live").rglob("*.py"))
    states = {state.value for state in CameraState}
    reasons = {reason.value for reason in FallbackReason} | set(re.findall(r'frame_dropped\("(\w+)"', source))
    for rule in rules:
        asked = re.findall(r"\b(?:veilstream|process)_\w+|\bup\b", rule["expr"])
        assert asked
        assert set(asked) <= samples
        for label, known in (("state", states), ("reason", reasons)):
            for values in re.findall(rf'{label}=~?"([^"]+)"', rule["expr"]):
                assert set(values.split("|")) <= known
        assert {"alert", "expr", "labels", "annotations"} <= set(rule)
