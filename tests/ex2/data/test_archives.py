"""Downloads over HTTP from this process and hostile archives: all or nothing, and nothing outside the folder."""

from __future__ import annotations

import hashlib
import http.server
import json
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tars import md5, tar_of

from ex2.data.datasets.archives import Archive, check, download, fetch, path_problem, unpack
from reward.errors import EnvironmentFault, UserError


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "a" / "out"
    folder.mkdir(parents=True)
    return folder


class Handler(http.server.SimpleHTTPRequestHandler):
    requests: list[str]
    broken: bool

    def do_GET(self) -> None:
        self.requests.append(self.path)
        if self.broken:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x" * 10)
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., tuple[str, list[str]]]]:
    """Serve `tmp_path / "www"`; with `broken`, ten of a thousand announced bytes."""
    servers = []
    (tmp_path / "www").mkdir()

    def start(*, broken: bool = False) -> tuple[str, list[str]]:
        handler = type("Own", (Handler,), {"requests": [], "broken": broken})
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), lambda *given: handler(*given, directory=str(tmp_path / "www"))
        )
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", handler.requests

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_download_unpacks_and_records(tmp_path: Path, out: Path, serve: Callable[..., tuple[str, list[str]]]) -> None:
    www = tmp_path / "www"
    images = tar_of(www / "images.tgz", {"images/a.txt": b"one", "images/deep/b.txt": b"two", "junk.txt": b"no"})
    lists = tar_of(www / "lists.tar", {"train.mat": b"three"}, mode="w")
    (www / "labels.mat").write_bytes(b"four")
    url, requests = serve()
    archives = [
        Archive(f"{url}/images.tgz", "set/images", md5(images)),
        Archive(f"{url}/lists.tar", "set/lists", None, bare=True),
        Archive(f"{url}/labels.mat", "set/labels.mat", md5(www / "labels.mat")),
    ]
    lines = download(archives, out)
    assert (out / "set/images/deep/b.txt").read_bytes() == b"two"
    assert (out / "set/lists/train.mat").read_bytes() == b"three"
    assert (out / "set/labels.mat").read_bytes() == b"four"
    assert [path.name for path in (out / "set").iterdir() if path.name.startswith(".")] == []
    assert sorted(path.name for path in (out / "set").iterdir()) == ["images", "labels.mat", "lists"]  # no junk.txt
    sha256 = hashlib.sha256(lists.read_bytes()).hexdigest()
    assert [line.rpartition(" (")[2] for line in lines] == [
        "md5 as published)",
        f"no published checksum: unverified, sha256 {sha256})",
        "md5 as published)",
    ]
    record = json.loads((out / "archives.json").read_text())
    assert record["lists.tar"] == {
        "url": f"{url}/lists.tar",
        "sha256": sha256,
        "md5": md5(lists),
        "verified": False,
    }
    assert record["images.tgz"]["verified"] is True
    assert requests == ["/images.tgz", "/lists.tar", "/labels.mat"]
    # a second call does nothing; a piece that went missing comes from the archive that is still there
    (out / "set/images/deep/b.txt").unlink()
    assert [line.endswith("already there") for line in download(archives, out)] == [True] * 3
    (out / "set/lists/train.mat").unlink()
    (out / "set/lists").rmdir()
    download(archives, out)
    assert (out / "set/lists/train.mat").exists()
    assert len(requests) == 3


def test_a_torn_download_leaves_nothing(out: Path, serve: Callable[..., tuple[str, list[str]]]) -> None:
    url, _ = serve(broken=True)
    with pytest.raises(EnvironmentFault, match=r"images.tgz: the download broke off after 10 of 1000 bytes; nothing"):
        download([Archive(f"{url}/images.tgz", "images", None)], out)
    assert everything(out) == []


def test_servers_that_refuse(out: Path, serve: Callable[..., tuple[str, list[str]]]) -> None:
    url, _ = serve()
    with pytest.raises(EnvironmentFault, match=r"/no.tgz: cannot be fetched \(File not found\); nothing was kept"):
        fetch(f"{url}/no.tgz", out / "no.tgz")
    with pytest.raises(EnvironmentFault, match=r"cannot be fetched .*refused.*put the file into the dataset's folder"):
        fetch("http://127.0.0.1:1/no.tgz", out / "no.tgz")
    assert everything(out) == []


def test_wrong_checksum_unpacks_nothing(tmp_path: Path, out: Path) -> None:
    tar_of(tmp_path / "images.tgz", {"images/a.txt": b"one"})
    archive = Archive(f"file://{tmp_path}/images.tgz", "images", "0" * 32)
    with pytest.raises(UserError, match=r"images.tgz: not the published file: md5 \w{32}, published 0{32}. Delete it"):
        download([archive], out)
    assert everything(out) == ["images.tgz"]
    with pytest.raises(UserError, match="not the published file"):
        check(archive, out / "images.tgz")


def test_torn_and_useless_archives(tmp_path: Path, out: Path) -> None:
    whole = tar_of(tmp_path / "whole.tgz", {"images/a.txt": bytes(range(256)) * 400})
    torn = tmp_path / "torn.tgz"
    torn.write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(UserError, match=r"torn.tgz: damaged \(.*nothing was unpacked"):
        unpack(torn, out / "images")
    flat = tar_of(tmp_path / "flat.tar", {"images/a.txt": b"x" * 5000}, mode="w")
    flat.write_bytes(flat.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"flat.tar: damaged \(.*nothing was unpacked"):
        unpack(flat, out / "images")
    (tmp_path / "no.zip").write_bytes(b"PK no")
    with pytest.raises(UserError, match=r"no.zip: damaged"):
        unpack(tmp_path / "no.zip", out / "images")
    with pytest.raises(UserError, match=r"whole.tgz: holds no 'photos' \(found: images\); nothing was unpacked"):
        unpack(whole, out / "photos")
    assert everything(out) == []


HOSTILE = {
    "parent": ({"images/../../evil.txt": b"x"}, (), "leaves the folder"),
    "absolute": ({"/tmp/evil.txt": b"x"}, (), "has an absolute path"),
    "drive": ({"C:/evil.txt": b"x"}, (), "has an absolute path"),
    "backslashes": ({"images\\..\\..\\evil.txt": b"x"}, (), "leaves the folder"),
    "symlink": ({}, (member("images/link", tarfile.SYMTYPE, "../../evil"),), "links to '../../evil', outside"),
    "absolute symlink": ({}, (member("images/link", tarfile.SYMTYPE, "/etc"),), "links to '/etc', outside"),
    "link to where the folder lies": (
        {},
        (member("images/up", tarfile.SYMTYPE, ".."),),
        "links to '..', outside images",
    ),
    "link to another folder": (
        {"lists/a.txt": b"x"},
        (member("images/lists", tarfile.SYMTYPE, "../lists"),),
        "member 'images/lists' links to '../lists', outside images",
    ),
    "link over a link": (
        {},
        (member("images/a", tarfile.SYMTYPE, "b"), member("images/b", tarfile.SYMTYPE, "..")),
        "outside images",
    ),
    "hard link": ({}, (member("images/link", tarfile.LNKTYPE, "../evil"),), "links to '../evil', outside"),
    "device": ({}, (member("images/null", tarfile.CHRTYPE),), "is a device, a pipe"),
    "pipe": ({}, (member("images/pipe", tarfile.FIFOTYPE),), "is a device, a pipe"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_tar(case: str, tmp_path: Path, out: Path) -> None:
    files, more, message = HOSTILE[case]
    path = tar_of(tmp_path / "x.tgz", {"images/good.txt": b"good", **files}, *more)
    with pytest.raises(UserError, match=r"x.tgz: member '.*' ") as raised:
        unpack(path, out / "images")
    assert message in str(raised.value)
    assert "nothing was unpacked. Do not trust this archive." in str(raised.value)
    assert everything(out) == []
    assert everything(tmp_path) == ["a", "a/out", "x.tgz"]


def test_symlinks_that_stay_inside_are_kept(tmp_path: Path, out: Path) -> None:
    link = member("images/link.txt", tarfile.SYMTYPE, "good.txt")
    unpack(tar_of(tmp_path / "x.tgz", {"images/good.txt": b"good"}, link), out / "images")
    assert (out / "images/link.txt").read_bytes() == b"good"


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path, out: Path) -> None:
    link = member("images", tarfile.SYMTYPE, "lists")
    with pytest.raises(
        UserError, match=r"x.tgz: member 'images' links to 'lists', outside images; nothing was unpacked"
    ):
        unpack(tar_of(tmp_path / "x.tgz", {"lists/a.txt": b"x"}, link), out / "images")
    assert everything(out) == []


@pytest.mark.parametrize("name", ["../evil.txt", "images/../../evil.txt", "/evil.txt", "C:\\evil.txt"])
def test_hostile_zip(name: str, tmp_path: Path, out: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("images/good.txt", "good")
        archive.writestr(zipfile.ZipInfo(name), "evil")
    with pytest.raises(UserError, match=r"x.zip: member .* (leaves the folder|has an absolute path); nothing"):
        unpack(tmp_path / "x.zip", out / "images")
    assert everything(tmp_path) == ["a", "a/out", "x.zip"]


def test_zip_with_a_symlink_and_a_good_one(tmp_path: Path, out: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("images/good.txt", "good")
    unpack(tmp_path / "x.zip", out / "images")
    assert (out / "images/good.txt").read_text() == "good"
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as archive:
        link = zipfile.ZipInfo("photos/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc")
    with pytest.raises(UserError, match=r"member 'photos/link' is neither file nor folder"):
        unpack(tmp_path / "y.zip", out / "photos")


@pytest.mark.parametrize("name", ["a/b.txt", "a..b/c", "./a", "a b", "...", "nul.txt"])
def test_harmless_paths(name: str) -> None:
    assert path_problem(name) == ""
