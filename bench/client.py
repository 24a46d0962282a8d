"""A load generator that costs little: keep-alive connections, bodies counted, not read.

It is a process of its own (`python -m bench.client`), so that what it costs is not the
server's. `wrk` takes its place where it is installed. Both ask for the pages of a list
in turn, as peers that read through a collection do.
"""

from __future__ import annotations

import argparse
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

CONNECTIONS = 8
_BUFFER = 1 << 18


@dataclass(frozen=True, slots=True)
class Asked:
    """Where and as whom to ask. paths: asked for in turn. headers: of every request."""

    host: str
    port: int
    paths: tuple[str, ...]
    headers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Heard:
    """What came: responses, their bytes, in how many seconds; how many were wrong."""

    responses: int
    size: int
    seconds: float
    wrong: int

    @property
    def rate(self) -> float:
        """Give responses a second."""
        return self.responses / self.seconds


def tool() -> str:
    """Name the load generator that `load` uses on this machine."""
    return "wrk" if shutil.which("wrk") else "bench.client"


def load(asked: Asked, seconds: float, connections: int = CONNECTIONS) -> Heard:
    """Ask as fast as answers come, from a process of its own.

    Raises:
        AssertionError: an answer was other than 200.
    """
    with tempfile.TemporaryDirectory(prefix="serantau-load-") as folder:
        run = _wrk if tool() == "wrk" else _own
        heard = run(asked, seconds, connections, Path(folder))
    assert heard.responses, "the server gave no answer"
    assert not heard.wrong, f"{heard.wrong} answers were other than 200"
    return heard


def _own(asked: Asked, seconds: float, connections: int, folder: Path) -> Heard:
    told = folder / "asked.json"
    told.write_bytes(orjson.dumps(asdict(asked)))
    command = [sys.executable, "-m", "bench.client", str(told)]
    command += ["--seconds", str(seconds), "--connections", str(connections)]
    found = subprocess.run(command, check=True, capture_output=True)
    return Heard(**orjson.loads(found.stdout))


_LUA = """
local paths, headers, place = {%s}, {%s}, 0
local requests = {}
function init(args)
  for i, path in ipairs(paths) do
    requests[i] = wrk.format("GET", path, headers)
  end
end
function request()
  place = place %% #requests + 1
  return requests[place]
end
function done(summary, latency, all)
  local e = summary.errors
  io.write(string.format(
    '\\n{"responses":%%d,"size":%%d,"seconds":%%f,"wrong":%%d}\\n', summary.requests,
    summary.bytes, summary.duration / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def _wrk(asked: Asked, seconds: float, connections: int, folder: Path) -> Heard:
    script = folder / "asked.lua"
    paths = ",".join(f'"{path}"' for path in asked.paths)
    pairs = (line.partition(": ")[::2] for line in asked.headers)
    headers = ",".join(f'["{name}"]="{value}"' for name, value in pairs)
    script.write_text(_LUA % (paths, headers), encoding="utf-8")
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    command += ["--timeout", "30s", "-s", str(script)]
    command += [f"http://{asked.host}:{asked.port}"]
    found = subprocess.run(command, check=True, capture_output=True)
    return Heard(**orjson.loads(found.stdout.rstrip().rpartition(b"\n")[2]))


@dataclass(slots=True)
class _Line:
    """One connection. left: bytes of the body to come, -1 before the head is whole."""

    socket: socket.socket
    head: bytes = b""
    left: int = -1


def ask(asked: Asked, seconds: float, connections: int) -> Heard:
    """Ask as fast as answers come, in this process."""
    told = (f"Host: {asked.host}:{asked.port}", *asked.headers)
    lines = "".join(f"{line}\r\n" for line in told)
    requests = [f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode() for path in asked.paths]
    buffer = memoryview(bytearray(_BUFFER))
    responses = size = wrong = place = 0
    with selectors.DefaultSelector() as selector:
        opened = []
        for _ in range(connections):
            line = _Line(socket.create_connection((asked.host, asked.port)))
            line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.append(line)
            selector.register(line.socket, selectors.EVENT_READ, line)
            line.socket.sendall(requests[place])
            place = (place + 1) % len(requests)
        begun = time.perf_counter()
        until = begun + seconds
        while (now := time.perf_counter()) < until:
            for key, _ in selector.select(until - now):
                line = key.data
                got = line.socket.recv_into(buffer)
                if not got:
                    raise ConnectionError("the server hung up")
                size += got
                if line.left < 0:
                    got = _head(line, bytes(buffer[:got]))
                    if line.left < 0:
                        continue
                    wrong += not line.head.startswith(b"HTTP/1.1 200 ")
                line.left -= got
                if line.left <= 0:
                    responses += 1
                    line.head, line.left = b"", -1
                    line.socket.sendall(requests[place])
                    place = (place + 1) % len(requests)
        taken = time.perf_counter() - begun
        for line in opened:
            line.socket.close()
    return Heard(responses, size, taken, wrong)


def _head(line: _Line, got: bytes) -> int:
    """Read on in a response's head; give the bytes of the body that came with it."""
    line.head += got
    head, whole, body = line.head.partition(b"\r\n\r\n")
    if not whole:
        return 0
    for field in head.split(b"\r\n")[1:]:
        name, _, value = field.partition(b":")
        if name.lower() == b"content-length":
            line.left = int(value)
            return len(body)
    raise ConnectionError("an answer does not say how long it is")


def main() -> None:
    """Run as a process: read what to ask, print what was heard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("asked", type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, required=True)
    told = parser.parse_args()
    fields = orjson.loads(told.asked.read_bytes())
    fields |= {name: tuple(fields[name]) for name in ("paths", "headers")}
    heard = ask(Asked(**fields), told.seconds, told.connections)
    print(orjson.dumps(asdict(heard)).decode())


if __name__ == "__main__":
    main()
