"""The RECORD of each wheel lists every file in it, with its hash and size; its name agrees with WHEEL and METADATA. usage: record.py FILE..."""
import base64
import csv
import hashlib
import io
import os
import sys
import zipfile

for path in sys.argv[1:]:
    wheel = zipfile.ZipFile(path)
    name, version, *tags = os.path.basename(path)[:-len(".whl")].split("-")
    about = f"{name}-{version}.dist-info/"
    rows = list(csv.reader(io.StringIO(wheel.read(about + "RECORD").decode())))
    assert [row[0] for row in rows] == wheel.namelist(), rows
    for member, digest, size in rows[:-1]:
        data = wheel.read(member)
        wanted = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        assert (digest, size) == ("sha256=" + wanted, str(len(data))), member
    assert rows[-1] == [about + "RECORD", "", ""] and wheel.testzip() is None
    assert "Tag: " + "-".join(tags) in wheel.read(about + "WHEEL").decode().splitlines(), tags
    metadata = wheel.read(about + "METADATA").decode().splitlines()
    assert [line.split(": ")[1].lower() for line in metadata[1:3]] == [name, version], metadata
