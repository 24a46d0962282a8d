"""The server as a process: what it opens, refuses to open, and how it ends."""

import asyncio
import contextlib
import datetime
import http.client
import ipaddress
import logging
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
import requests
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from taxii2client.v21 import Collection, Server, as_pages

from doors import (
    GREEN,
    PASSWORD,
    Site,
    basic,
    free_port,
    in_a_thread,
    indicator,
    replace_http,
    serving,
    wait_for_port,
)
from serantau.apps.web import server
from serantau.apps.web.logs import logger, set_up_logs
from serantau.clock import SystemClock, moment
from serantau.config import HttpSection, LogSection, NodeConfig
from serantau.errors import ConfigError, SerantauError
from serantau.node import Node
from serantau.wire.taxii import API_ROOT, DISCOVERY, MEDIA_TYPE

Served = tuple[Node, str, dict[str, str]]
PROGRAM = Path(sys.executable).with_name("serantau")


@pytest.fixture
def usual_logs() -> Iterator[None]:
    """Puts logging back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@contextmanager
def process(
    config: NodeConfig, port: int, *options: str, settings: str = ""
) -> Iterator[subprocess.Popen[str]]:
    """`serantau serve` as a process of its own."""
    (config.home / "serantau.toml").write_text(
        f'[node]\nmember = "th"\nteam = "ThaiCERT"\nrealm = "exercise:reef"\n{settings}'
    )
    running = subprocess.Popen(
        [PROGRAM, "serve", "--port", str(port), *options],
        env={**os.environ, "SERANTAU_HOME": str(config.home)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield running
    finally:
        running.kill()
        running.wait()
        assert running.stderr is not None
        running.stderr.close()


def test_serve_answers_and_ends_in_order_at_sigterm(config: NodeConfig) -> None:
    port = free_port()
    with process(config, port) as running:
        wait_for_port(port)
        address = f"http://127.0.0.1:{port}"
        assert httpx2.get(f"{address}/healthz").text == "alive\n"
        assert httpx2.get(f"{address}/readyz").text == "ready\n"
        answer = httpx2.get(f"{address}{DISCOVERY}", headers=basic("wei"))
        assert answer.json()["api_roots"] == [API_ROOT]
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=30)
    assert running.returncode == 0
    assert "serving" in said
    assert "stopped" in said
    assert PASSWORD not in said


def test_what_was_begun_is_answered_before_the_end(config: NodeConfig) -> None:
    port = free_port()
    with process(config, port) as running:
        wait_for_port(port)
        body = orjson.dumps({"objects": [indicator(1)]})
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        line.putrequest("POST", f"{API_ROOT}collections/box/objects/")
        for name, value in (
            *basic("wei").items(),
            ("Content-Type", MEDIA_TYPE),
            ("Content-Length", str(len(body))),
        ):
            line.putheader(name, value)
        line.endheaders(body[:10])
        # Its head is with the server when the server answers someone who came later.
        assert httpx2.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
        running.send_signal(signal.SIGTERM)
        threading.Event().wait(0.5)
        line.send(body[10:])
        answer = line.getresponse()
        assert answer.status == 202
        assert orjson.loads(answer.read())["success_count"] == 1
        line.close()
        running.communicate(timeout=30)
    assert running.returncode == 0


def test_a_port_that_is_taken_is_said_and_not_shared(config: NodeConfig) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with process(config, port) as running:
            _, said = running.communicate(timeout=30)
    assert running.returncode == 3
    assert str(port) in said
    assert "Traceback" not in said


def test_work_beside_the_doors_that_fails_ends_the_process(config: NodeConfig) -> None:
    def fails(_node: Node, _stop: threading.Event) -> None:
        raise RuntimeError("the disk is full")

    here = replace_http(config, HttpSection(port=free_port()))
    with pytest.raises(SerantauError, match="beside"):
        server.serve(here, "all", fails)


def test_a_role_that_is_none_is_refused(config: NodeConfig) -> None:
    with pytest.raises(ConfigError, match="role"):
        server.serve(config, "everything")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"host": "no.such.host.invalid"}, "http.host"),
        ({"client_ca": "/nowhere.pem"}, "http.client_ca"),
        ({"certificate": "/nowhere.pem", "key": "/nowhere.pem"}, "http.certificate"),
    ],
)
def test_what_cannot_be_opened_is_named(
    config: NodeConfig, settings: dict[str, Any], named: str
) -> None:
    with Node(config) as node:
        app = server.create_app(node)
        try:
            with pytest.raises(ConfigError, match=re.escape(named)):
                server.Web(app, replace_http(config, HttpSection(**settings)))
        finally:
            app.state.hall.close()


def test_the_worker_listens_nowhere_and_ends_at_sigterm(config: NodeConfig) -> None:
    port = free_port()
    with process(config, port, "--role", "worker") as running:
        assert running.stderr is not None
        assert any("working" in line for line in running.stderr)
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=30)
    assert running.returncode == 0


def test_metrics_are_told_on_a_listener_of_their_own(config: NodeConfig) -> None:
    port, own = free_port(), free_port()
    settings = f"[http]\nmetrics_port = {own}\n[log]\nformat = 'json'\n"
    with process(config, port, settings=settings) as running:
        wait_for_port(port)
        address = f"http://127.0.0.1:{port}"
        httpx2.get(f"{address}{DISCOVERY}", headers=basic("wei"))
        httpx2.get(f"{address}/metrics")
        told = httpx2.get(f"http://127.0.0.1:{own}/metrics").text
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=30)
    assert 'serantau_requests_total{door="taxii",method="GET",status="200"} 1.0' in told
    assert (
        'serantau_requests_total{door="status",method="GET",status="404"} 1.0' in told
    )
    assert "serantau_store_up 1.0" in told
    assert "wei" not in told
    assert "sg" not in re.findall(r'"([^"]*)"', told)
    assert all("event" in orjson.loads(line) for line in said.splitlines())


def _bundle(name: str, *, issuer: Any = None, ca: bool = False) -> tuple[Any, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    called = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    by_name, by_key = (
        (called, key) if issuer is None else (issuer[0].subject, issuer[1])
    )
    day = datetime.timedelta(days=1)
    today = moment(SystemClock().now())
    made = (
        x509.CertificateBuilder()
        .subject_name(called)
        .issuer_name(by_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - day)
        .not_valid_after(today + day)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(by_key, hashes.SHA256())
    )
    return made, key


def _write(folder: Path, name: str, bundle: tuple[Any, Any]) -> tuple[str, str]:
    certificate, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    certificate.write_bytes(bundle[0].public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        bundle[1].private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(certificate), str(key)


def test_tls_is_served_and_a_callers_certificate_asked_for(
    config: NodeConfig, tmp_path: Path
) -> None:
    authority = _bundle("Region CA", ca=True)
    trusted, _ = _write(tmp_path, "ca", authority)
    certificate, key = _write(tmp_path, "node", _bundle("th", issuer=authority))
    known = _write(tmp_path, "peer", _bundle("sg", issuer=authority))
    stranger = _write(tmp_path, "stranger", _bundle("stranger"))
    section = HttpSection(
        port=free_port(), certificate=certificate, key=key, client_ca=trusted
    )
    # The application must know of TLS too, for HSTS.
    with Node(replace_http(config, section)) as node, serving(node, section) as address:
        for shown, comes_in in ((known, True), (stranger, False), (None, False)):
            context = ssl.create_default_context(cafile=trusted)
            if shown is not None:
                context.load_cert_chain(*shown)
            with httpx2.Client(verify=context) as client:
                if not comes_in:
                    with pytest.raises(httpx2.TransportError):
                        client.get(f"{address}/healthz")
                    continue
                answer = client.get(f"{address}{DISCOVERY}", headers=basic("wei"))
                assert answer.status_code == 200
                assert "max-age" in answer.headers["strict-transport-security"]
                assert "includeSub" in answer.headers["strict-transport-security"]
        old = ssl.create_default_context(cafile=trusted)
        old.load_cert_chain(*known)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with httpx2.Client(verify=old) as client:
            assert client.get(f"{address}/healthz").status_code == 200


def test_taxii2_client_reads_pages_and_writes(served: Served) -> None:
    _, address, ids = served
    login = {"user": "wei", "password": PASSWORD}
    with contextlib.closing(Server(f"{address}{DISCOVERY}", **login)) as known:
        assert known.default.url == f"{address}{API_ROOT}"
        held = {each.id: each for each in known.default.collections}
    assert held[ids["box"]].can_write
    assert not held[ids["whole"]].can_write
    url = f"{address}{API_ROOT}collections/{ids['box']}/"
    made = [indicator(number) for number in range(1, 26)]
    with contextlib.closing(Collection(url, **login)) as box:
        status = box.add_objects({"objects": made})
        assert status.status == "complete"
        assert (status.success_count, status.failure_count) == (25, 0)
        pages = list(as_pages(box.get_objects, per_request=10))
        assert [len(page["objects"]) for page in pages] == [10, 10, 5]
        assert [held for page in pages for held in page["objects"]] == made
        lines = [
            line
            for page in as_pages(box.get_manifest, per_request=10)
            for line in page["objects"]
        ]
        assert [line["id"] for line in lines] == [held["id"] for held in made]
        one = made[3]["id"]
        assert box.get_object(one)["objects"] == [made[3]]
        assert box.object_versions(one)["versions"] == [made[3]["modified"]]
        assert [
            found["id"]
            for found in box.get_objects(type="indicator", id=one)["objects"]
        ] == [one]
        box.delete_object(one)
        with pytest.raises(requests.exceptions.HTTPError, match="404"):
            box.get_object(one)


def test_an_independent_probe_finds_every_rule_kept(
    served: Served, corpora: Path
) -> None:
    probe = corpora.parent / "tools" / "conform_taxii.py"
    if not probe.exists():
        return  # the claims of test_taxii_rules.py stand without it
    _, address, ids = served
    told = subprocess.run(
        [
            *(sys.executable, probe, f"{address}{API_ROOT}", ids["box"], "--quiet"),
            *("--user", "boss", "--password", PASSWORD),
            *("--ro", ids["ro"], "--wo", ids["wo"]),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    totals = orjson.loads(told.stdout.rpartition("TOTAL ")[2])
    assert totals["MUST"].get("FAIL", 0) == 0, told.stdout
    assert totals["MUST"]["PASS"] >= 140


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /taxii2/ HTTP/1.1\r\n\r\n\r\n",
        b"GET /%00%ff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /taxii2/?" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /taxii2/serantau/collections/box/objects/ HTTP/1.1\r\nHost: x\r\n"
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x00" * 1000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /taxii2/ HTTP/1.1\r\nHost: x\r\nAuthorization: Basic "
        + b"A" * 60_000
        + b"\r\n\r\n",
    ],
)
def test_bytes_that_are_no_request_harm_nobody(served: Served, raw: bytes) -> None:
    _, address, _ = served
    port = int(address.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as line,
        contextlib.suppress(OSError),
    ):
        line.sendall(raw)
        line.shutdown(socket.SHUT_WR)
        answer = line.recv(100)
        assert not answer or not answer.startswith(b"HTTP/1.1 5")
    assert httpx2.get(f"{address}/healthz").status_code == 200


def test_a_lying_content_length_ends_one_request_only(served: Served) -> None:
    _, address, ids = served
    port = int(address.rpartition(":")[2])
    head = (
        f"POST {API_ROOT}collections/{ids['box']}/objects/ HTTP/1.1\r\nHost: x\r\n"
        f"Content-Type: {MEDIA_TYPE}\r\n"
        f"Authorization: {basic('wei')['Authorization']}\r\n"
    )
    for length, status in (("999999999999", b"413"), ("-5", b"400"), ("5x", b"400")):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
            line.sendall(f"{head}Content-Length: {length}\r\n\r\n{{}}".encode())
            assert line.recv(100).split()[1] == status
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        line.sendall(f'{head}Content-Length: 500\r\n\r\n{{"objects": []}}'.encode())
    answer = httpx2.get(
        f"{address}{API_ROOT}collections/{ids['box']}/objects/", headers=basic("wei")
    )
    assert answer.json() == {}


def test_the_status_page_tells_the_node_and_no_content(site: Site) -> None:
    site.post([indicator(1, name="Operation Secret")])
    answer = site.client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "EXERCISE" in answer.text
    assert "ThaiCERT" in answer.text
    assert re.search(r"<dt>Objects</dt><dd>1</dd>", answer.text)
    for secret in ("Operation Secret", indicator(1)["id"], GREEN, "wei", "budi"):
        assert secret not in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.findall(r"<script(?! src=)|<style| style=| on[a-z]+=", answer.text) == []
    (sheet,) = re.findall(r'"stylesheet" href="([^"]*)"', answer.text)
    style = site.client.get(sheet)
    assert style.headers["content-type"].startswith("text/css")
    assert "immutable" in style.headers["cache-control"]


def test_the_page_for_everyone_names_no_peer(site: Site) -> None:
    with site.node.db.write() as tx:
        tx.run(
            "INSERT INTO peer (name, url, collection, user_name, secret, certificate, "
            "handle_as, enabled, created) VALUES ('vn', 'https://vn.example', '', '', "
            "'', '', '', :yes, 0)",
            yes=True,
        )
    told = site.client.get("/").text
    assert "1, of which 0 answered" in told
    assert "vn" not in re.sub(r"<[^>]*>", " ", told).split()


def test_a_store_that_is_away_is_told_without_its_address(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from serantau.errors import StoreError

    def away() -> Any:
        raise StoreError("postgresql://admin@db.internal: refused")

    monkeypatch.setattr(site.node.db, "read", away)
    monkeypatch.setattr(site.node.db, "together", away)
    assert site.client.get("/healthz").status_code == 200
    assert site.client.get("/readyz").status_code == 503
    answer = site.get(DISCOVERY)
    assert answer.status_code == 503
    assert "db.internal" not in answer.text
    assert int(answer.headers["retry-after"]) > 0
    assert site.metric("serantau_store_up") == 0


def test_a_fault_of_ours_is_500_with_an_id_and_no_traceback(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    usual_logs: None,
) -> None:
    set_up_logs(LogSection())

    def broken(*_: Any) -> Any:
        password = PASSWORD  # noqa: F841 - a local that no log may show
        raise RuntimeError("secret detail")

    monkeypatch.setattr(site.doors.state.hall.share, "offers", broken)
    answer = site.get(f"{API_ROOT}collections/")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert "secret detail" not in answer.text
    assert "Traceback" not in answer.text
    logged = capfd.readouterr().err
    assert answer.json()["error_id"] in logged
    assert "secret detail" in logged
    assert PASSWORD not in logged


def test_logs_hold_no_secret_and_no_question(
    site: Site, capfd: pytest.CaptureFixture[str], usual_logs: None
) -> None:
    set_up_logs(LogSection(level="debug", format="json"))
    site.get(
        site.path("box", "objects/"), params={"match[type]": "malware", "t": "zzq"}
    )
    site.client.get(DISCOVERY, headers={"Authorization": "Bearer my-token"})
    site.client.get(DISCOVERY, headers=basic("wei", "my-wrong-password"))
    site.client.get(DISCOVERY, headers=basic("my-wrong-password", "x"))
    logged = capfd.readouterr().err
    lines = [orjson.loads(line) for line in logged.splitlines()]
    refused = [line for line in lines if line["event"] == "sign_in_refused"]
    assert [(line["how"], line["user"]) for line in refused] == [
        ("token", ""),
        ("password", "wei"),
        ("password", ""),
    ]
    assert {line["status"] for line in lines if line["event"] == "request"} == {
        200,
        401,
    }
    assert all(line["request_id"] for line in lines if line["event"] == "request")
    for secret in (PASSWORD, "my-token", "my-wrong-password", "malware", "zzq"):
        assert secret not in logged
    assert basic("wei")["Authorization"].split()[1] not in logged


def test_no_text_adds_a_line_to_the_log_or_commands_a_terminal(
    capfd: pytest.CaptureFixture[str], usual_logs: None
) -> None:
    set_up_logs(LogSection())
    logger("door").warning("refused", path="/มะลิ\n2026 [error] all is lost\x1b[2J")
    logging.getLogger("other").warning("two\nlines")
    logged = capfd.readouterr().err
    assert len(logged.splitlines()) == 2
    assert "มะลิ" in logged
    assert "\x1b" not in logged


def test_a_web_can_be_stopped_before_and_after_it_ran(config: NodeConfig) -> None:
    with Node(config) as node:
        app = server.create_app(node)
        web = server.Web(app, replace_http(config, HttpSection(port=free_port())))
        web.stop()

        async def run_and_stop() -> None:
            running = asyncio.create_task(web.run())
            await asyncio.sleep(0.2)
            web.stop()
            await running

        in_a_thread(run_and_stop())
        web.stop()
