"""A Hub on the loopback interface for the real client: it serves folders, and takes uploads."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


TOKEN = "hf_of_the_tests"


@dataclass
class Uploads:
    """What the Hub was sent: stored objects by SHA-256, and files by repository as the last commit left them.

    Attributes:
        private: by repository, as it was made.
        puts: SHA-256 of every object in the order in which it came.
        refused_after: number of objects after which the Hub takes no more, None for no such end.
        silent: the HTTP method that is never answered.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    puts: list[str] = field(default_factory=list)
    refused_after: int | None = None
    silent: str | None = None


@contextmanager
def serve(models: dict[str, Path], datasets: dict[str, Path], uploads: Uploads | None = None) -> Iterator[str]:
    """The address of a Hub with these repositories, by name and folder, while the block runs."""
    taken = uploads or Uploads()
    repositories = {("models", name): folder for name, folder in models.items()}
    repositories |= {("datasets", name): folder for name, folder in datasets.items()}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def parse_request(self) -> bool:
            if super().parse_request() and self.command == taken.silent:
                # Until the client hangs up.
                while self.rfile.read1(1 << 16):
                    pass
                self.close_connection = True
                return False
            return bool(self.command)

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            body = self.body()
            path = unquote(urlsplit(self.path).path).strip("/")
            match path.split("/"):
                case ["api", "validate-yaml"]:
                    return self.json({"errors": [], "warnings": []})
                case ["api", "repos", "create"]:
                    return self.create(json.loads(body))
                case ["api", "models", owner, name, "preupload", "main"]:
                    files = [
                        {**file, "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular"}
                        for file in json.loads(body)["files"]
                    ]
                    return self.json({"files": [{**file, "shouldIgnore": False} for file in files]})
                case [owner, name, "info", "lfs", "objects", "batch"]:
                    return self.batch(json.loads(body))
                case ["api", "models", owner, name, "commit", "main"]:
                    return self.commit(f"{owner}/{name}", body)
            self.answer(json.loads(body) if body.startswith(b"{") else {})

        def do_PUT(self) -> None:
            data = self.body()
            if taken.refused_after is not None and len(taken.puts) >= taken.refused_after:
                return self.refuse(400)
            oid = hashlib.sha256(data).hexdigest()
            taken.puts.append(oid)
            taken.objects[oid] = data
            self.send(b"", {})

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def known(self) -> bool:
            return self.headers.get("Authorization") == f"Bearer {TOKEN}"

        def create(self, wanted: dict[str, Any]) -> None:
            if not self.known():
                return self.refuse(401)
            name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
            # Clients of different age say it differently.
            private = bool(wanted.get("private")) or wanted.get("visibility") == "private"
            taken.private.setdefault(name, private)
            taken.files.setdefault(name, {})
            self.json({"url": f"http://{self.headers['Host']}/{name}", "name": name, "id": name})

        def batch(self, wanted: dict[str, Any]) -> None:
            objects = []
            for entry in wanted["objects"]:
                where = {"upload": {"href": f"http://{self.headers['Host']}/lfs/{entry['oid']}", "header": {}}}
                objects.append({**entry, **({} if entry["oid"] in taken.objects else {"actions": where})})
            self.json({"objects": objects, "transfer": "basic"})

        def commit(self, repository: str, body: bytes) -> None:
            if not self.known():
                return self.refuse(401)
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    taken.files[repository][value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    taken.files[repository][value["path"]] = taken.objects[value["oid"]]
            self.json({"commitUrl": f"http://{self.headers['Host']}/{repository}/commit/{COMMIT}", "commitOid": COMMIT})

        def refuse(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def answer(self, body: dict[str, Any] | None = None) -> None:
            path = unquote(urlsplit(self.path).path).strip("/")
            if path == "api/whoami-v2":
                return self.json({"name": "me", "type": "user"}) if self.known() else self.refuse(401)
            for (kind, name), folder in repositories.items():
                prefix = "" if kind == "models" else "datasets/"
                if path == f"api/{kind}/{name}" or path.startswith(f"api/{kind}/{name}/"):
                    return self.api(path.removeprefix(f"api/{kind}/{name}").strip("/"), name, folder, body or {})
                if path.startswith(f"{prefix}{name}/resolve/"):
                    return self.file(folder / path.removeprefix(f"{prefix}{name}/resolve/").split("/", 1)[1])
            self.missing("RepoNotFound")

        def api(self, rest: str, name: str, folder: Path, body: dict[str, Any]) -> None:
            files = [
                {
                    "type": "file",
                    "path": str(path.relative_to(folder)),
                    "size": path.stat().st_size,
                    "oid": hashlib.sha1(path.read_bytes()).hexdigest(),
                }
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            ]
            match rest.split("/"):
                case [""] | ["revision", _]:
                    siblings = [{"rfilename": file["path"]} for file in files]
                    self.json({"id": name, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []})
                case ["tree", _]:
                    self.json(files)
                case ["paths-info", _]:
                    self.json([file for file in files if file["path"] in body.get("paths", [])])
                case _:
                    self.missing("EntryNotFound")

        def json(self, record: object) -> None:
            self.send(json.dumps(record).encode(), {"Content-Type": "application/json"})

        def file(self, path: Path) -> None:
            if not path.is_file():
                return self.missing("EntryNotFound")
            data = path.read_bytes()
            etag = hashlib.sha1(data).hexdigest()
            self.send(data, {"ETag": f'"{etag}"', "Accept-Ranges": "bytes"})

        def send(self, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(200)
            for key, value in {**headers, "X-Repo-Commit": COMMIT, "Content-Length": str(len(data))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def missing(self, code: str) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", code)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
