"""A small S3 server on loopback, which can fail: what tests of object stores talk to.

It has what S3 has of what enc uses: ranged reads, conditional and multipart puts, lists by page, and deletes.
``faults`` says how every so-manieth request fails: with 503, a dropped connection, half a body, or an answer
that is lost after the work was done.
"""

import hashlib
import re
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import gmtime, strftime, time
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

FAULTS = ("503", "dropped", "half", "lost")
SECRET = "not-to-be-told"
KEY = "enc-test-key"
PAGE = 1000


@dataclass
class ObjectServer:
    """The objects of a server by bucket and key, what was asked of it, and how it fails."""

    buckets: dict[str, dict[str, tuple[bytes, float]]] = field(default_factory=lambda: {"bucket": {}})
    every: int = 0
    """Each so-manieth request fails; 0 for none."""
    faults: tuple[str, ...] = FAULTS
    conditional: bool = True
    """Whether If-None-Match is heeded."""
    requests: list[tuple[str, str, int]] = field(default_factory=list)
    """Method, path and bytes of the body that was sent back."""
    failed: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    url: str = ""

    @property
    def objects(self) -> dict[str, tuple[bytes, float]]:
        return self.buckets["bucket"]

    def sent(self, ending: str = "") -> int:
        """Bytes sent of the objects whose path ends so."""
        return sum(size for method, path, size in self.requests if method == "GET" and path.endswith(ending))

    def fault(self) -> str | None:
        with self.guard:
            self.requests.append(("", "", 0))
            number = sum(1 for method, _, _ in self.requests if not method)
            if not self.every or number % self.every:
                return None
            self.failed += 1
            return self.faults[(self.failed - 1) % len(self.faults)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    server: "_Server"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, ValueError):
            self.close_connection = True

    def _any(self) -> None:
        world = self.server.world
        body = self._body()
        fault = world.fault()
        if fault == "dropped":
            self._drop()
        elif fault == "503":
            self._send(503, b"<Error><Code>SlowDown</Code></Error>")
        elif fault is not None and (fault == "half") == (self.command in ("GET", "POST")):
            self._answer(*self._done(body), fault=fault)
        else:
            self._answer(*self._done(body), fault="dropped" if fault else None)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _any  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _done(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        world, parts = self.server.world, urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        signed = re.search(r"Credential=([^/]+)/", self.headers.get("Authorization") or "")
        if not signed or signed[1] != KEY:
            return 403, b"<Error><Code>InvalidAccessKeyId</Code></Error>", {}
        with world.guard:
            objects = world.buckets.get(bucket)
            if objects is None:
                return 404, b"<Error><Code>NoSuchBucket</Code></Error>", {}
            if self.command == "POST":
                return self._post(objects, key, query, body)
            if self.command == "PUT":
                return self._put(objects, key, query, body)
            if self.command == "DELETE":
                objects.pop(key, None)
                return 204, b"", {}
            if "list-type" in query:
                return 200, _listed(objects, query), {}
            if key not in objects:
                return 404, b"<Error><Code>NoSuchKey</Code></Error>", {}
            return self._get(*objects[key])

    def _get(self, data: bytes, when: float) -> tuple[int, bytes, dict[str, str]]:
        facts = {
            "ETag": _etag(data),
            "Last-Modified": formatdate(when, usegmt=True),
            "Accept-Ranges": "bytes",
        }
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if not asked or not data:
            return 200, data, facts
        if not asked[1]:
            first, last = max(0, len(data) - int(asked[2])), len(data) - 1
        else:
            first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
        if first >= len(data):
            return 416, b"<Error><Code>InvalidRange</Code></Error>", {}
        facts["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return 206, data[first : last + 1], facts

    def _put(
        self, objects: dict[str, tuple[bytes, float]], key: str, query: dict[str, str], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        if "uploadId" in query:
            self.server.world.uploads[query["uploadId"]][int(query["partNumber"])] = body
            return 200, b"", {"ETag": _etag(body)}
        if self.server.world.conditional and self.headers.get("If-None-Match") == "*" and key in objects:
            return 412, b"<Error><Code>PreconditionFailed</Code></Error>", {}
        asked = self.headers.get("If-Match")
        if asked and (key not in objects or _etag(objects[key][0]) != asked):
            return 412, b"<Error><Code>PreconditionFailed</Code></Error>", {}
        objects[key] = body, time()
        return 200, b"", {"ETag": _etag(body)}

    def _post(
        self, objects: dict[str, tuple[bytes, float]], key: str, query: dict[str, str], body: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        uploads = self.server.world.uploads
        if "uploads" in query:
            name = hashlib.md5(f"{key}{len(uploads)}".encode()).hexdigest()
            uploads[name] = {}
            return (
                200,
                f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>".encode(),
                {},
            )
        if "delete" in query:
            names = [unquote(name) for name in re.findall(r"<Key>(.*?)</Key>", body.decode())]
            for name in names:
                objects.pop(name, None)
            gone = "".join(f"<Deleted><Key>{escape(name)}</Key></Deleted>" for name in names)
            return 200, f"<DeleteResult>{gone}</DeleteResult>".encode(), {}
        parts = uploads[query["uploadId"]]
        data = b"".join(parts[number] for number in sorted(parts))
        objects[key] = data, time()
        answer = _tag("CompleteMultipartUploadResult", _tag("ETag", escape(_etag(data))))
        return 200, answer.encode(), {}

    def _answer(self, status: int, body: bytes, facts: dict[str, str], fault: str | None = None) -> None:
        if fault in ("dropped", "lost"):
            self._drop()
            return
        self._send(status, body, facts, half=fault == "half")

    def _send(
        self, status: int, body: bytes, facts: dict[str, str] | None = None, *, half: bool = False
    ) -> None:
        world = self.server.world
        is_head = self.command == "HEAD"
        with world.guard:
            world.requests.append((self.command, urlsplit(self.path).path, 0 if is_head else len(body)))
        self.send_response(status)
        for name, value in (facts or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not is_head:
            self.wfile.write(body[: len(body) // 2] if half else body)
        self.wfile.flush()
        if half:
            self._drop()

    def _drop(self) -> None:
        self.close_connection = True
        with_reset = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, with_reset)
        self.connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    world: ObjectServer

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no error."""


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


def _tag(name: str, inside: str) -> str:
    return f"<{name}>{inside}</{name}>"


def _listed(objects: dict[str, tuple[bytes, float]], query: dict[str, str]) -> bytes:
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    after = query.get("continuation-token") or query.get("start-after", "")
    contents, folders, more, last = [], {}, "", ""
    for key in sorted(objects):
        if not key.startswith(prefix) or key <= after:
            continue
        rest = key[len(prefix) :]
        if len(contents) + len(folders) == PAGE:
            more = "<IsTruncated>true</IsTruncated>" + _tag("NextContinuationToken", escape(last))
            break
        last = key
        if delimiter and delimiter in rest:
            folders[prefix + rest.partition(delimiter)[0] + delimiter] = None
            continue
        data, when = objects[key]
        stamp = strftime("%Y-%m-%dT%H:%M:%S.000Z", gmtime(when))
        contents.append(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{stamp}</LastModified>"
            f"<ETag>{escape(_etag(data))}</ETag><Size>{len(data)}</Size></Contents>"
        )
    prefixes = "".join(
        f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in folders
    )
    more = more or "<IsTruncated>false</IsTruncated>"
    return f"<ListBucketResult>{more}{''.join(contents)}{prefixes}</ListBucketResult>".encode()


@contextmanager
def object_server():
    """A running server."""
    world = ObjectServer()
    server = _Server(("127.0.0.1", 0), _Handler)
    server.world = world
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    world.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield world
    finally:
        server.shutdown()
        server.server_close()
