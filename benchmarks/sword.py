"""Texts of Debian's packages of Bibles, whose words are in the public domain."""

from __future__ import annotations

import html
import re
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

MODULES = Path("usr/share/sword/modules/texts/ztext")
CHAPTER = re.compile(r'<chapter [^>]*osisID="(\w+)\.(\d+)"')
UNREAD = re.compile(r"<note.*?</note>|<title.*?</title>|<[^>]+>|¶", re.DOTALL)


def fetched(package: str, folder: Path) -> Path:
    """Returns where the files of a Debian package are, fetched with apt-get if need be."""
    found = folder / package
    if not found.is_dir():
        with tempfile.TemporaryDirectory() as room:
            subprocess.run(["apt-get", "download", "-qq", package], cwd=room, check=True)
            (archive,) = Path(room).glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", str(archive), str(found)], check=True)
    return found


def verses(package: Path, *, empty: bool = False) -> Iterator[tuple[str, int, str]]:
    """Yields book, chapter and text of every verse, in order.

    Args:
        package: Where its files are.
        empty: Whether also verses that this text does not have, so that those of two texts in one
            order of verses stand at the same places.

    Source: https://wiki.crosswire.org/File_Formats (zText: an index of blocks, one of verses, and
    blocks that zlib has packed).
    """
    (module,) = (package / MODULES).iterdir()
    for testament in ("ot", "nt"):
        read = {
            kind: (module / f"{testament}.{kind}").read_bytes() for kind in ("bzs", "bzv", "bzz")
        }
        blocks = [
            zlib.decompress(read["bzz"][start : start + size])
            for start, size, _ in struct.iter_unpack("<III", read["bzs"])
        ]
        book, chapter = "", 0
        for block, start, size in struct.iter_unpack("<IIH", read["bzv"]):
            marked = blocks[block][start : start + size].decode() if size else ""
            if heading := CHAPTER.search(marked):
                book, chapter = heading[1], int(heading[2])
            text = " ".join(html.unescape(UNREAD.sub("", marked)).split())
            if text or empty:
                yield book, chapter, text
