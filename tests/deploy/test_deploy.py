"""The files in deploy/: valid by the tools that read them, and true of this program."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from headrace.assembly.roles import require_urls
from headrace.dialects.route import Ingest
from headrace.dialects.settings import ServerSettings
from headrace.dialects.table import DIALECTS
from headrace.http.serve import BACKSTOP_S
from headrace.model.settings import Settings
from headrace.model.settings_page import table
from tests.server import Server

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNIT = (DEPLOY / "headrace.service").read_text()
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = cast("dict[str, Any]", yaml.safe_load((DEPLOY / "compose.yaml").read_text()))
SPLIT = cast("dict[str, Any]", yaml.safe_load((DEPLOY / "compose.split.yaml").read_text()))
NEEDED_STOP_S = Settings().shutdown_timeout_s + BACKSTOP_S


def test_systemd_takes_the_unit_without_a_word(tmp_path: Path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "headrace.service"
    unit.write_text(UNIT.replace("/opt/headrace/bin/headrace", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    if "Failed to" in done.stderr and "D-Bus" in done.stderr:
        pytest.skip("systemd-analyze needs a bus here")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_may_write_its_data_folder_and_has_no_privilege():
    settings = dict(line.split("=", 1) for line in UNIT.splitlines() if "=" in line and not line.startswith("#"))
    assert settings["ProtectSystem"] == "strict"
    assert settings["CapabilityBoundingSet"] == ""
    assert settings["NoNewPrivileges"] == "yes"
    assert settings["Environment"] == f"HEADRACE_DATA=/var/lib/{settings['StateDirectory']}"


def test_whoever_stops_a_server_waits_until_what_is_waiting_is_stored():
    [unit_s] = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    compose_s = COMPOSE["services"]["headrace"]["stop_grace_period"].removesuffix("s")
    [kubernetes_s] = re.findall(r"terminationGracePeriodSeconds: (\d+)", (ROOT / "docs" / "deploy.md").read_text())
    assert min(map(int, (unit_s, compose_s, kubernetes_s))) >= NEEDED_STOP_S


def test_every_variable_in_deploy_and_its_page_is_a_setting():
    known = {variable for variable, _, _ in table(ServerSettings)}
    texts = [path.read_text() for path in (*DEPLOY.iterdir(), ROOT / "docs" / "deploy.md") if path.is_file()]
    named = {name for text in texts for name in re.findall(r"HEADRACE_[A-Z_]*[A-Z]", text)}
    assert named
    assert named <= known


@pytest.mark.parametrize("name", ["prometheus-rules.yaml", "grafana-dashboard.json"])
def test_every_metric_that_is_watched_exists(server: Server, name: str):
    with server.client() as client:
        shown = client.get("/metrics").text
    # A counter with labels has no sample before its first event, but it is described.
    described = set(re.findall(r"^# TYPE (\S+) ", shown, re.MULTILINE))
    described |= {f"{name}_{part}" for name in described for part in ("bucket", "count", "sum")}
    described.add("headrace_worker_active")  # of gateways: tests/scale/test_cluster.py sees it there
    watched = set(re.findall(r"\b(?:headrace|process)_[a-z_]+\b", " ".join(_expressions(name))))
    assert len(watched) > 5
    assert watched - described == set()


def test_whatever_can_fail_on_its_own_has_an_alert(server: Server):
    with server.client() as client:
        failing = set(re.findall(r"^# TYPE (headrace_\w+_failing) ", client.get("/metrics").text, re.MULTILINE))
    assert len(failing) > 5
    alerts = " ".join(_expressions("prometheus-rules.yaml"))
    assert {name for name in failing if f"{name} == 1" not in alerts} == set()


def _expressions(name: str) -> list[str]:
    content = cast("dict[str, Any]", yaml.safe_load((DEPLOY / name).read_text()))
    if "groups" in content:
        return [rule["expr"] for group in content["groups"] for rule in group["rules"]]
    return [target["expr"] for panel in content["panels"] for target in panel["targets"]]


def test_only_routes_that_take_events_and_wait_for_nothing_can_be_called_slow():
    [expression] = [each for each in _expressions("prometheus-rules.yaml") if "histogram_quantile" in each]
    [left_out] = re.findall(r'route!~"([^"]+)"', expression)
    assert "\n" not in left_out
    posts = [route for dialect in DIALECTS for route in dialect.routes if route.method == "POST"]
    counted = {route.path for route in posts if not re.fullmatch(left_out, route.path)}
    assert counted == {route.path for route in posts if isinstance(route.does, Ingest) and route.does.reacted is None}
    assert re.fullmatch(left_out, "/console/api/v1/query")
    assert re.fullmatch(left_out, "/internal/backup")


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/internal/check"])
def test_the_proxies_of_the_docs_keep_private_what_is_a_route_with_and_without_a_slash(path: str):
    text = (ROOT / "docs" / "deploy.md").read_text()
    [patterns] = re.findall(r"@private path (.*)", text)
    # https://caddyserver.com/docs/caddyfile/matchers#path: exact, but for an asterisk at the end
    assert any(fnmatch(path, each) for each in patterns.split())
    denied = re.findall(r"location (\S+) \{ deny all; \}", text)
    assert any(path.startswith(each) for each in denied)  # nginx compares beginnings


def test_every_alert_says_what_is_at_stake_and_what_to_do():
    content = cast("dict[str, Any]", yaml.safe_load((DEPLOY / "prometheus-rules.yaml").read_text()))
    for rule in content["groups"][0]["rules"]:
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_promtool_takes_the_alerts():
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed")
    command = ["promtool", "check", "rules", str(DEPLOY / "prometheus-rules.yaml")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_the_image_has_what_the_package_is_built_from_and_runs_as_nobody_special():
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        assert [name for name in copied.split() if not (ROOT / name).exists()] == []
    [user] = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, re.MULTILINE)
    assert int(user) > 0
    assert "--require-hashes" in DOCKERFILE
    service = COMPOSE["services"]["headrace"]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["ports"] == ["127.0.0.1:8080:8080"], "plain HTTP, so for a proxy on the machine alone"


def test_the_split_servers_have_their_roles_and_urls_and_run_as_the_single_one_does():
    ours = {
        name: each for name, each in SPLIT["services"].items() if "HEADRACE_ROLE" in (each.get("environment") or {})
    }
    assert sorted(ours) == ["gateway-1", "gateway-2", "worker-1", "worker-2"]
    single = COMPOSE["services"]["headrace"]
    for name, service in ours.items():
        settings = Settings.from_environ({key: str(value) for key, value in service["environment"].items()})
        assert settings.role == name.partition("-")[0]
        require_urls(settings)
        assert service["volumes"] == [f"{name}:/data"], "a folder each"
        for same in ("read_only", "cap_drop", "security_opt", "stop_grace_period", "restart"):
            assert service[same] == single[same]
        assert [port.rpartition(":")[0].rpartition(":")[0] for port in service.get("ports", [])] == (
            ["127.0.0.1"] if settings.role == "gateway" else []
        )
        if settings.role == "worker":
            assert service["hostname"] == name
    [build] = {str(each["build"]) for each in ours.values()}
    assert "'REQUIREMENTS': 'scale'" in build
    assert "ARG REQUIREMENTS=runtime" in DOCKERFILE
    pinned = (ROOT / "requirements" / "scale.txt").read_text()
    assert set(re.findall(r"^[\w-]+==\S+", (ROOT / "requirements" / "runtime.txt").read_text(), re.MULTILINE)) < set(
        re.findall(r"^[\w-]+==\S+", pinned, re.MULTILINE)
    )
    assert all(f"\n{driver}==" in pinned for driver in ("psycopg", "valkey"))


def test_the_split_log_is_set_up_as_the_server_demands():
    words = SPLIT["services"]["valkey"]["command"].split()
    given = {name[2:]: value for name, value in itertools.pairwise(words) if name.startswith("--")}
    assert (given["appendonly"], given["appendfsync"], given["maxmemory-policy"]) == ("yes", "always", "noeviction")
    assert "ports" not in SPLIT["services"]["valkey"]
    assert "PASSWORD:?" in given["requirepass"], "there is no password that everybody knows"


def test_what_the_image_copies_is_enough_to_build_the_package_and_reaches_the_builder(tmp_path: Path):
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            assert source in kept, f"{source} is ignored"
            copied = tmp_path / target / Path(source).name if target.endswith("/") else tmp_path / target
            copied.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, copied, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
            else:
                shutil.copy(ROOT / source, copied)
    out = tmp_path / "wheels"
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-q",
        "-w",
        str(out),
        ".",
    ]
    environ = os.environ | {"HEADRACE_CONSOLE": "skip"}  # whose build needs a registry
    done = subprocess.run(build, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    [wheel] = out.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"headrace/cli/main.py", "headrace/http/openapi/base.yaml"} <= set(names)


def test_the_images_health_check_tells_a_server_from_none(server: Server):
    [command] = re.findall(r"^ +CMD (\[.+\])$", DOCKERFILE, re.MULTILINE)
    _, option, code = json.loads(command)
    for port, is_well in ((server.url.rpartition(":")[2], True), ("1", False)):
        environ = {**os.environ, "HEADRACE_PORT": port}
        done = subprocess.run([sys.executable, option, code], capture_output=True, env=environ, check=False)
        assert (done.returncode == 0) == is_well


def test_hadolint_finds_nothing_in_the_dockerfile():
    if not shutil.which("hadolint"):
        pytest.skip("hadolint is not installed")
    done = subprocess.run(["hadolint", str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_builds_and_answers():
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker daemon runs here")
    build = ["docker", "build", "--quiet", "-f", "deploy/Dockerfile", "."]
    image = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    shown = subprocess.run(
        ["docker", "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--tmpfs", "/data:uid=10001", image, "doctor"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ok    store engine: It loads." in shown.stdout
