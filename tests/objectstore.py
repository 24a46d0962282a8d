"""An S3-compatible store in this process: what Delta and Polars ask of one, in memory.

Objects appear whole. `PUT` with `If-None-Match: *` fails where there is one (412): that
makes a commit happen once. Signatures are not checked. It is a program of its own, as
who asks it may hold the interpreter's lock meanwhile.
"""

import hashlib
import json
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_STAMP = "2026-03-01T00:00:00.000Z"
_PATIENCE_SECONDS = 60
_HTTP_STAMP = "Sun, 01 Mar 2026 00:00:00 GMT"


class Store:
    """The objects of one server, by `bucket/key`, and what was asked of it."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.refused = 0
        self.lock = threading.Lock()
        self.meeting = threading.Barrier(2)
        self.awaited = 0


class Served:
    """A server in a process beside this one."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    @property
    def options(self) -> dict[str, str]:
        """The options that Delta and Polars are given to find it."""
        return {
            "aws_endpoint_url": self.url,
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
            "aws_region": "us-east-1",
            "aws_allow_http": "true",
        }

    def told(self) -> dict[str, Any]:
        """Tell the `names` of the objects, and how many puts were `refused`."""
        with urllib.request.urlopen(f"{self.url}/?told") as answer:  # noqa: S310
            told: dict[str, Any] = json.load(answer)
        return told

    def let_meet(self) -> None:
        """Keep the next put that may not replace until there is one more."""
        urllib.request.urlopen(f"{self.url}/?meet").close()  # noqa: S310


def _tag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


class _Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: Store

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(
        self, status: int, body: bytes = b"", length: int | None = None, **more: str
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.send_header("Last-Modified", _HTTP_STAMP)
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _ask(self) -> tuple[str, dict[str, str], bytes]:
        parts = urlsplit(self.path)
        query = {
            name: values[0]
            for name, values in parse_qs(parts.query, keep_blank_values=True).items()
        }
        body = self._body()
        key = unquote(parts.path).strip("/")
        return key, query, body

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "aws-chunked" in (self.headers.get("Content-Encoding") or ""):
            whole, rest = b"", body
            while rest:
                size, _, rest = rest.partition(b"\r\n")
                count = int(size.partition(b";")[0] or b"0", 16)
                whole, rest = whole + rest[:count], rest[count + 2 :]
                if not count:
                    break
            return whole
        return body

    def do_GET(self) -> None:
        key, query, _ = self._ask()
        if "told" in query:
            store = self.store
            told = {"names": sorted(store.objects), "refused": store.refused}
            self._answer(200, json.dumps(told).encode())
            return
        if "meet" in query:
            self.store.awaited = 2
            self._answer(200)
            return
        if query.get("list-type"):
            self._answer(200, self._list(key, query), Content_Type="application/xml")
            return
        body = self.store.objects.get(key)
        if body is None:
            missing = b"<Error><Code>NoSuchKey</Code></Error>"
            self._answer(404, missing, Content_Type="application/xml")
            return
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if asked is None:
            self._answer(200, body, ETag=_tag(body))
            return
        first, last = asked.groups()
        start = int(first) if first else max(0, len(body) - int(last))
        end = min(int(last) + 1 if first and last else len(body), len(body))
        if self.command == "HEAD":
            self._answer(200, length=len(body), ETag=_tag(body))
            return
        self._answer(
            206,
            body[start:end],
            ETag=_tag(body),
            Content_Range=f"bytes {start}-{end - 1}/{len(body)}",
        )

    def do_HEAD(self) -> None:
        key, _, _ = self._ask()
        body = self.store.objects.get(key)
        if body is None:
            self._answer(404)
        else:
            self._answer(200, length=len(body), ETag=_tag(body))

    def do_PUT(self) -> None:
        key, query, body = self._ask()
        single = self.headers.get("If-None-Match") == "*"
        with self.store.lock:
            awaited = single and self.store.awaited > 0
            self.store.awaited -= awaited
        if awaited:
            self.store.meeting.wait(_PATIENCE_SECONDS)
        with self.store.lock:
            if "uploadId" in query:
                parts = self.store.uploads[query["uploadId"]]
                parts[int(query["partNumber"])] = body
            elif single and key in self.store.objects:
                self.store.refused += 1
                failed = b"<Error><Code>PreconditionFailed</Code></Error>"
                self._answer(412, failed, Content_Type="application/xml")
                return
            else:
                self.store.objects[key] = body
        self._answer(200, ETag=_tag(body))

    def do_POST(self) -> None:
        key, query, body = self._ask()
        said = b""
        with self.store.lock:
            if "uploads" in query:
                upload = str(len(self.store.uploads) + 1)
                self.store.uploads[upload] = {}
                said = (
                    "<InitiateMultipartUploadResult>"
                    f"<UploadId>{upload}</UploadId>"
                    "</InitiateMultipartUploadResult>"
                ).encode()
            elif "uploadId" in query:
                parts = self.store.uploads.pop(query["uploadId"])
                self.store.objects[key] = b"".join(parts[one] for one in sorted(parts))
                said = (
                    "<CompleteMultipartUploadResult>"
                    f"<ETag>{escape(_tag(self.store.objects[key]))}</ETag>"
                    "</CompleteMultipartUploadResult>"
                ).encode()
            else:
                gone = re.findall(r"<Key>(.*?)</Key>", body.decode())
                for one in gone:
                    self.store.objects.pop(f"{key}/{unquote(one)}", None)
                told = "".join(f"<Deleted><Key>{one}</Key></Deleted>" for one in gone)
                said = f"<DeleteResult>{told}</DeleteResult>".encode()
        self._answer(200, said, Content_Type="application/xml")

    def do_DELETE(self) -> None:
        key, _, _ = self._ask()
        self.store.objects.pop(key, None)
        self._answer(204)

    def _list(self, bucket: str, query: dict[str, str]) -> bytes:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("start-after", "")
        folders: set[str] = set()
        said = []
        for name in sorted(self.store.objects):
            key = name.removeprefix(f"{bucket}/")
            if not key.startswith(prefix) or key <= after:
                continue
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
                continue
            body = self.store.objects[name]
            said.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(body)}</Size>"
                f"<LastModified>{_STAMP}</LastModified>"
                f"<ETag>{escape(_tag(body))}</ETag></Contents>"
            )
        said += [
            f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>"
            for one in sorted(folders)
        ]
        return (
            "<ListBucketResult><IsTruncated>false</IsTruncated>"
            f"{''.join(said)}</ListBucketResult>"
        ).encode()


@contextmanager
def object_store() -> Iterator[Served]:
    """Serve a store with nothing in it."""
    with subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            yield Served(int(server.stdout.readline()))
        finally:
            server.terminate()


def main() -> None:
    """Serve until terminated; tells the port first."""
    door = type("Door", (_Door,), {"store": Store()})
    with ThreadingHTTPServer(("127.0.0.1", 0), door) as server:
        print(server.server_address[1], flush=True)  # noqa: T201
        server.serve_forever()


if __name__ == "__main__":
    main()
