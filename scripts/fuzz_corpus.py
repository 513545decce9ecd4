#!/usr/bin/env python3
"""Makes the seeds of `fuzz/corpus`: small files of every format that aelab reads, whole, damaged and hostile.

    scripts/fuzz_corpus.py [RUN]

RUN is the run directory of the experiment SMALL below; without it, the seeds that are made of a run stay as they are. What fuzzing
has found lies beside the seeds under names that begin with `found_`, and is left alone. The standard library is enough.
"""
import gzip
import hashlib
import io
import json
import lzma
import struct
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

CORPUS = Path(__file__).resolve().parent.parent / "fuzz/corpus"

SMALL = """\
data: {bars: {size: 2, num_examples: 8}}
model: {vae: {hidden: [3], latent_dim: 2, beta: 1.0, likelihood: bernoulli}}
train: {epochs: 2, batch_size: 4, optimizer: {adam: {learning_rate: 0.001}}, seed: 1}
"""


def put(target, name, content):
    path = CORPUS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def idx(code, shape, numbers):
    return bytes([0, 0, code, len(shape)]) + b"".join(struct.pack(">I", size) for size in shape) + numbers


def npy(descr, shape, numbers, fortran=False, version=1):
    header = f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': ({', '.join(map(str, shape))},), }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + numbers


def archive(members, method):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as zipped:
        for name, content in members:
            zipped.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def tar(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as packed:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.type, info.size = kind, len(content)
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = "../../escaped"
            packed.addfile(info, io.BytesIO(content))
    return out.getvalue()


def ar(members):
    out = b"!<arch>\n"
    for name, content in members:
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content + b"\n" * (len(content) % 2)
    return out


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, colour, rows, depth=8, extra=b""):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


# One grey pixel.
JPEG = bytes.fromhex(
    "ffd8ffe000104a46494600010100000100010000ffdb004300" + "01" * 64 + "ffc0000b080001000101011100ffc4001400010000000000000000000000"
    "0000000009ffc40014100100000000000000000000000000000000ffda0008010100003f0054ffd9"
)

HELLO = b"\0\0\x08\x01\0\0\0\x05hello"


def data():
    for name, content in {
        "images": idx(8, [3, 2, 2], bytes(range(12))),
        "labels": idx(8, [3], bytes([2, 0, 1])),
        "floats": idx(13, [2, 2], struct.pack(">4f", 0, 1, -1, 0.5)),
        "doubles": idx(14, [1, 2], struct.pack(">2d", 1e308, 1)),
        "gzip": gzip.compress(idx(9, [2, 3], bytes(6)), mtime=0),
        "claims_much": idx(8, [2**31, 2**31, 4], bytes(20)),
        "claims_what_overflows": idx(14, [2**32 - 1] * 8, b""),
        "bomb": gzip.compress(idx(8, [1 << 12, 1 << 12], bytes(1 << 24)), mtime=0)[:20000],
        "empty_dimension": idx(8, [0, 7], b""),
    }.items():
        put("idx", name, content)
    for name, content in {
        "bytes": npy("|u1", [3, 2, 2], bytes(range(12))),
        "fortran": npy("<f8", [2, 3], struct.pack("<6d", *range(6)), fortran=True),
        "half": npy(">f2", [2, 1], bytes.fromhex("3c00fc00")),
        "labels": npy("<i8", [3], struct.pack("<3q", 5, -1, 5)),
        "truth": npy("|b1", [2, 2], bytes([0, 1, 1, 2])),
        "version_2": npy("<u4", [1, 1], bytes(4), version=2),
        "objects": npy("|O", [1], b"\x80\x04K\x01."),
        "claims_much": npy("<f8", [10**12, 10], bytes(64)),
        "claims_what_overflows": npy("<f8", [2**63, 2**63], b""),
        "many_dimensions": npy("|u1", [1] * 70, b"\0"),
        "structured": npy("|u1", [1], b"").replace(b"'|u1'", b"[('a', '<f4')]"),
    }.items():
        put("npy", name, content)
    x, y = npy("|u1", [3, 2, 2], bytes(range(12))), npy("<i8", [3], struct.pack("<3q", 5, -1, 5))
    stored = archive([("x.npy", x), ("y.npy", y)], zipfile.ZIP_STORED)
    deflated = archive([("x.npy", x), ("y.npy", y)], zipfile.ZIP_DEFLATED)
    bomb = archive([("x.npy", npy("|u1", [1 << 12, 1 << 12], bytes(1 << 24)))], zipfile.ZIP_DEFLATED)
    for name, content in {
        "stored": stored,
        "deflated": deflated,
        "bomb": bomb,
        "claims_more_than_it_has": deflated.replace(struct.pack("<I", len(x)), struct.pack("<I", 0x7FFFFFFF)),
        "directory_beyond": stored[:-10] + struct.pack("<II", 0xFFFFFF, 0xFFFFFF) + b"\0\0",
        "cut": stored[:-30],
    }.items():
        put("npz", name, content)
    for name, content in {
        "plain": b"\x001,2\n3,4\n5,6\n",
        "labels": b"\x02a,label,b\n1,x,2\n3,y,4\n1e-3,x,-0\n",
        "first_is_label": b"\x01cat,1,2\ndog,3,4\ncat,5,6\n",
        "tabs": b"\x401\t2\n3\t4\n5\t6\n",
        "semicolons": b"\x301;2\n3;4\n5;6\n",
        "quoted": b'\x000,"1"\n"2",3\n"4\n',
        "gzip": b"\x00" + gzip.compress(b"1,2\n3,4\n5,6\n", mtime=0),
        "bomb": b"\x00" + gzip.compress(b"1,2\n" * (1 << 20), mtime=0),
        "endless": b"\x00" + gzip.compress(b"7" * (17 << 20), mtime=0),
        "empty_cell": b"\x041,\n,2\n",
        "infinite": b"\x00inf,1\nnan,2\n1e999,3\n",
        "many_columns": b"\x00" + b"," * 3000 + b"\n",
    }.items():
        put("csv", name, content)
    for name, content in {
        "grey.png": png(3, 2, 0, b"\0\1\2\3\0\4\5\6"),
        "colour.png": png(2, 2, 2, (b"\0" + bytes(6)) * 2),
        "deep.png": png(2, 1, 6, b"\0" + bytes(16), depth=16),
        "palette.png": png(2, 1, 3, b"\0\0\1", extra=chunk(b"PLTE", bytes(6))),
        "bits.png": png(8, 2, 0, b"\0\xaa\0\x55", depth=1),
        "bomb.png": png(16384, 16384, 0, bytes(16385 * 200)),
        "claims_much.png": png(2**31 - 1, 2**31 - 1, 6, b"\0"),
        "text_bomb.png": png(1, 1, 0, b"\0\0", extra=chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(1 << 22), 9))),
        "one.jpg": JPEG,
        "claims_much.jpg": JPEG.replace(bytes.fromhex("0800010001"), bytes.fromhex("08ffffffff")),
    }.items():
        put("image", name, content)


def packages():
    file, link, hard, device = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.BLKTYPE
    good = tar([("package/data/hello", HELLO, file)])
    hostile = tar(
        [
            ("../escaped", b"x", file),
            ("/tmp/aelab-escaped", b"x", file),
            ("C:\\escaped", b"x", file),
            ("package/data/hello/../../../../escaped", b"x", file),
            ("package/data", b"", link),
            ("package/data/hello2", b"", device),
            ("package/data/" + "long" * 40, b"x", file),
            ("package/data/hello", b"", hard),
        ]
    )
    xz = lzma.compress(good, format=lzma.FORMAT_XZ)
    for name, content in {
        "zip": b"\0" + archive([("../escaped", b"x"), ("/a", b"y" * 300), ("nul\0name", b"")], zipfile.ZIP_DEFLATED),
        "zip_bomb": b"\0" + archive([("x", bytes(1 << 24))], zipfile.ZIP_DEFLATED),
        "ar": b"\1" + ar([("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar", b"x")]),
        "ar_claims_much": b"\1" + ar([("debian-binary", b"2.0\n")]).replace(b"4         `", b"9999999999`"),
        "tgz": b"\2" + gzip.compress(good, mtime=0),
        "tgz_hostile": b"\2" + gzip.compress(hostile, mtime=0),
        "tgz_bomb": b"\2" + gzip.compress(tar([("package/other", bytes(1 << 23), file)]), mtime=0),
        "deb_tar": b"\3" + ar([("debian-binary", b"2.0\n"), ("data.tar", good)]),
        "deb_gz": b"\3" + ar([("data.tar.gz", gzip.compress(hostile, mtime=0))]),
        "deb_xz": b"\3" + ar([("data.tar.xz", xz)]),
        "deb_xz_bomb": b"\3" + ar([("data.tar.xz", lzma.compress(bytes(1 << 24), format=lzma.FORMAT_XZ))]),
    }.items():
        put("archive", name, content)


def texts():
    aliases = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]\n" for n in range(1, 12))
    sweep = """\
sweep:
  product:
  - model.vae.beta: {log_range: {from: 0.1, to: 10, num: 3}}
  - zip: [{train.batch_size: [2, 4]}, {train.epochs: [1, 2]}]
  - repeat: 2
"""
    for name, content in {
        "small": SMALL,
        "sweep": SMALL + sweep,
        "extends": "extends: other.yaml\nmodel: {vae: {beta: 2}}\n",
        "execution": SMALL + "execution: {jobs: 2, threads_per_trial: 1, hang_seconds: 60}\n",
        "evaluate": SMALL + "evaluate: [{reconstruction: {}}, {samples: {}}]\n",
        "merge": "base: &b {hidden: [3]}\nmodel: {vae: {<<: *b, latent_dim: 2}}\n",
        "aliases": aliases,
        "long_alias": f"a: &a {'x' * 2000}\nb: [{'*a, ' * 500}]\n",
        "deep": "[" * 200,
        "deep_flow": "{a: " * 150,
        "deep_block": "- " * 300,
        "tags": "data: !!python/object/apply:os.system ['touch /tmp/aelab-escaped']\n",
        "absurd_numbers": SMALL.replace("size: 2", "size: 9223372036854775807").replace("[3]", "[18446744073709551615, 1e308]"),
        "absurd_sweep": SMALL + "sweep: {product: [{repeat: 100000}, {repeat: 100000}, {train.seed: {range: {from: 0, to: 1e18, step: 1}}}]}\n",
        "escaping_name": "name: ../../escaped\n" + SMALL,
        "many_documents": SMALL + "---\n" + SMALL,
        "not_text": b"\xff\xfe\x00a",
    }.items():
        put("experiment", name, content)
    for name, content in {
        "sets": "model.vae.beta=2\ntrain.epochs=5\nmodel.*.hidden=[7]\nsweep=null\n",
        "filters": "beta=1\nbeta!=1|2\nepochs>=3\nmodel=vae\ncode_size<1e3\n",
        "others": "train.optimizer={sgd: {learning_rate: 0.1}}\ndata.bars.size=99999999999\nhidden[0]=3\n=\na=\n=b\n",
        "extends": "extends=/etc/passwd\nname=../x\nmodel.vae.hidden.5=1\n",
    }.items():
        put("settings", name, content)


def run_files(root):
    root = Path(root)
    (trial,) = (root / "trials").iterdir()
    result = (trial / "result.json").read_bytes()
    for kind, name, content in [
        (0, "result", result),
        (1, "config", (trial / "config.yaml").read_bytes()),
        (2, "plan", (root / "plan.json").read_bytes()),
        (4, "lock", b'{"host":"node","pid":1}'),
    ]:
        put("run_directory", name, bytes([kind]) + content)
    metrics = (trial / "metrics.jsonl").read_bytes()
    put("metrics_log", "whole", b"\1\0" + metrics)
    put("metrics_log", "torn", b"\1\0" + metrics[:300])
    (events,) = trial.glob("events.out.tfevents.*")
    events = events.read_bytes()[:6000]
    put("event_file", "whole", b"\2\0" + events)
    put("event_file", "position", b'{"file": "events.out.tfevents.0000000000.host.1.0.aelab", "bytes": 5000000}\n' + events[:2000])
    checkpoint = (trial / "checkpoints/last.tar").read_bytes()
    put("checkpoint", "whole", checkpoint)
    put("checkpoint", "cut", checkpoint[:3000])
    with tarfile.open(trial / "checkpoints/last.tar") as packed:
        model, optimizer = (packed.extractfile(name).read() for name in ["model", "optimizer"])
    put("record", "whole", struct.pack("<I", len(model)) + model + optimizer)
    put("record", "swapped", struct.pack("<I", len(optimizer)) + optimizer + model)


def records():
    manifest = json.dumps({"format_version": 1, "program_version": "0.1.0"}).encode()
    file = tarfile.REGTYPE
    claims = bytearray(tar([("manifest.json", manifest, file)]))
    claims[124:136] = b"77777777777\0"
    put("checkpoint", "no_position", tar([("manifest.json", manifest, file), ("manifest.sha256", hashlib.sha256(manifest).hexdigest().encode(), file)]))
    put("checkpoint", "claims_much", bytes(claims))
    put("checkpoint", "link", tar([("manifest.json", b"", tarfile.SYMTYPE)]))
    put("checkpoint", "device", tar([("manifest.json", b"", tarfile.CHRTYPE)]))
    put("checkpoint", "newer", tar([("manifest.json", manifest.replace(b": 1", b": 9"), file)]))
    put("run_directory", "deep_result", b"\0" + b"[" * 5000)
    put("run_directory", "aliases", b"\1" + b"a: &a [1, 1]\nb: &b [*a, *a]\nc: [*b, *b]\n")
    put("run_directory", "progress", b'\3{"phase": "training", "epoch": 1e300}')
    put("run_directory", "escaping_plan", b'\2{"format_version": 1, "name": "../x", "trials": [{"hash": "../../x"}]}')
    put("metrics_log", "bytes", b"\0\5" + bytes(range(256)))
    put("metrics_log", "long_line", b"\0\0" + b'{"epoch": 1, "train/loss": ' + b"1" * 3000 + b"}\n" + b'{"epoch": 2, "train/loss": 1}\n')
    put("event_file", "claims_much", b"\0\0" + struct.pack("<Q", 2**62) + bytes(20))


if __name__ == "__main__":
    data()
    packages()
    texts()
    records()
    if len(sys.argv) > 1:
        run_files(sys.argv[1])
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    print(f"{len(files)} files, {sum(path.stat().st_size for path in files)} bytes in {CORPUS}")
