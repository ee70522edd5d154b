"""A hub of models on this machine: the part of its HTTP interface that pushing and fetching use.

Repositories are in memory: commits by branch, each with all its files. Weights go the way of large files.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

TOKEN = "hf_atokenthatmaywrite"
READER = "hf_atokenthatmayonlyread"


@dataclass
class Repository:
    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        self.commit("main", {".gitattributes": b""})

    def commit(self, branch: str, files: dict[str, bytes]) -> str:
        seed = repr((len(self.commits), branch, sorted(files))).encode()
        sha = hashlib.sha1(seed).hexdigest()
        self.commits[sha] = files
        self.branches[branch] = sha
        return sha

    def sha(self, revision: str) -> str | None:
        return self.branches.get(revision) or (revision if revision in self.commits else None)

    def files(self, revision: str = "main") -> dict[str, bytes]:
        return self.commits[self.branches[revision]]


@dataclass
class Hub:
    """What the tests see of it."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    fails: tuple[int, str] | None = None
    """Status and message of every answer to a commit."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> Hub:
        return self.server.hub

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def _answer(self):
        path = unquote(urlsplit(self.path).path)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        self.hub.requests.append((self.command, path))
        for pattern, answer in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found:
                answer(self, body, *found.groups())
                return
        self._send(404, {"error": f"no route {self.command} {path}"})

    def _send(self, status, value=None, **headers):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, one in headers.items():
            self.send_header(name.replace("_", "-"), one)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    @property
    def token(self):
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def _may_write(self) -> bool:
        if self.token == TOKEN:
            return True
        if self.token == READER:
            self._send(403, {"error": f"Forbidden: {self.token} may only read"})
        else:
            self._send(401, {"error": "Invalid username or password."})
        return False

    def _repository(self, name: str, revision: str = "main"):
        """The repository and the commit; None, when an error has been answered."""
        found = self.hub.repositories.get(name)
        if found is None or (found.private and self.token not in (TOKEN, READER)):
            status = 404 if self.token else 401
            self._send(status, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
            return None
        sha = found.sha(revision)
        if sha is None:
            self._send(404, {"error": f"Invalid rev id: {revision}"}, X_Error_Code="RevisionNotFound")
            return None
        return found, sha

    def _create(self, body):
        if not self._may_write():
            return
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.hub.repositories:
            self._send(409, {"error": "You already created this model repo", "url": f"{self.hub.url}/{name}"})
            return
        self.hub.repositories[name] = Repository(asked.get("visibility") == "private")
        self._send(200, {"url": f"{self.hub.url}/{name}", "id": name, "name": name})

    def _info(self, _, name, revision=None):
        if found := self._repository(name, revision or "main"):
            repository, sha = found
            siblings = [
                {"rfilename": path, "size": len(data), "blobId": _blob(data), **_lfs(path, data)}
                for path, data in repository.commits[sha].items()
            ]
            self._send(
                200, {"id": name, "modelId": name, "sha": sha, "private": repository.private,
                      "siblings": siblings, "tags": [], "downloads": 0, "likes": 0},
            )  # fmt: skip

    def _branch(self, body, name, branch):
        if (found := self._repository(name)) and self._may_write():
            repository, sha = found
            if branch in repository.branches:
                self._send(409, {"error": "Reference already exists"})
                return
            repository.branches[branch] = sha
            self._send(200, {})

    def _tree(self, _, name, revision):
        if found := self._repository(name, revision):
            repository, sha = found
            entries = []
            for path, data in repository.commits[sha].items():
                entry = {"type": "file", "path": path, "size": len(data), "oid": _blob(data)}
                entries.append(entry | _lfs(path, data))
            self._send(200, entries)

    def _valid_yaml(self, _):
        self._send(200, {"errors": [], "warnings": []})

    def _preupload(self, body, name, revision):
        if (found := self._repository(name, revision)) and self._may_write():
            there = found[0].commits[found[1]]
            files = []
            for asked in json.loads(body)["files"]:
                path = asked["path"]
                mode = "lfs" if path.endswith(".safetensors") else "regular"
                known = {"oid": _blob(there[path])} if path in there and mode == "regular" else {}
                files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, **known})
            self._send(200, {"files": files})

    def _batch(self, body, name):
        if self._may_write():
            objects = [
                {**one, "actions": {"upload": {"href": f"{self.hub.url}/large/{one['oid']}", "header": {}}}}
                for one in json.loads(body)["objects"]
            ]
            self._send(200, {"transfer": "basic", "objects": objects})

    def _large(self, body, digest):
        assert hashlib.sha256(body).hexdigest() == digest
        self.hub.large[digest] = body
        self._send(200, {})

    def _commit(self, body, name, revision):
        found = self._repository(name, revision)
        if not found or not self._may_write():
            return
        if self.hub.fails:
            self._send(self.hub.fails[0], {"error": self.hub.fails[1]})
            return
        repository, sha = found
        files = dict(repository.commits[sha])
        for line in body.decode().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                assert value.get("parentCommit") in (None, sha)
            elif entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        new = repository.commit(revision, files)
        url = f"{self.hub.url}/{name}/commit/{new}"
        self._send(200, {"success": True, "commitOid": new, "commitUrl": url, "hookOutput": ""})

    def _resolve(self, _, name, revision, path):
        found = self._repository(name, revision)
        if not found:
            return
        repository, sha = found
        data = repository.commits[sha].get(path)
        if data is None:
            self._send(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound", X_Repo_Commit=sha)
            return
        digest = hashlib.sha256(data).hexdigest() if path.endswith(".safetensors") else _blob(data)
        self._send(
            200, data, X_Repo_Commit=sha, ETag=f'"{digest}"', Content_Length=str(len(data)),
            Accept_Ranges="bytes",
        )  # fmt: skip


_REPO = r"([\w.-]+/[\w.-]+)"
_ROUTES = [
    (r"/api/repos/create", _Handler._create),
    (r"/api/validate-yaml", _Handler._valid_yaml),
    (rf"/api/models/{_REPO}", _Handler._info),
    (rf"/api/models/{_REPO}/revision/(.+)", _Handler._info),
    (rf"/api/models/{_REPO}/branch/(.+)", _Handler._branch),
    (rf"/api/models/{_REPO}/tree/([^/]+)/?", _Handler._tree),
    (rf"/api/models/{_REPO}/preupload/(.+)", _Handler._preupload),
    (rf"/api/models/{_REPO}/commit/(.+)", _Handler._commit),
    (rf"/{_REPO}\.git/info/lfs/objects/batch", _Handler._batch),
    (r"/large/([0-9a-f]{64})", _Handler._large),
    (rf"/{_REPO}/resolve/([^/]+)/(.+)", _Handler._resolve),
]


def _lfs(path: str, data: bytes) -> dict:
    """How a large file is described."""
    if not path.endswith(".safetensors"):
        return {}
    digest = hashlib.sha256(data).hexdigest()
    return {"lfs": {"oid": digest, "sha256": digest, "size": len(data), "pointerSize": 130}}


def _blob(data: bytes) -> str:
    """What git calls a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def point_at(hub: Hub, monkeypatch, home: Path) -> None:
    """Let the hub's library of this process ask this hub, with a cache of its own, and a token."""
    from huggingface_hub import constants

    for name, value in {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_HUB_DISABLE_XET": True,
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that answers until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.hub = Hub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
