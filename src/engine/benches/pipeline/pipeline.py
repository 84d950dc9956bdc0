"""The peer of `cargo bench -p ekphrasis-engine --bench pipeline`: pictures made, and
embedded with Pillow and onnxruntime, written plainly.

    pipeline.py make FOLDER COUNT WIDTH HEIGHT      JPEGs, 4:2:0, quality 88
    pipeline.py run FOLDER MODEL full|draft         prints JSON
    pipeline.py decoders FOLDER DIVISOR             prints JSON

`full` decodes every picture whole and embeds one after another. `draft` lets libjpeg
decode at 1/2, 1/4 or 1/8, and has a thread a core, each with a session of one thread.

`decoders` says how many milliseconds of processor time libjpeg-turbo takes for a picture at
1/DIVISOR, resized by nobody: as it is compiled into Pillow, and as it is installed (null if
it is not).
"""

import ctypes
import io
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, features

SIDE = 224
MEAN = np.float32(0.49803922)
STD = np.float32(0.5019608)


def make(folder, count, width, height):
    """Noise in octaves, as smooth and as rough as photographs are; each a JPEG of its own."""
    os.makedirs(folder, exist_ok=True)
    for n in range(count):
        path = os.path.join(folder, f"{n:05}.jpg")
        if os.path.exists(path):
            continue
        rng = np.random.default_rng(n)
        total = np.zeros((height, width, 3), np.float32)
        for octave in range(2, 9):
            step = 2**octave
            noise = rng.normal(size=(height // step + 2, width // step + 2, 3)).astype(np.float32)
            planes = [
                np.array(Image.fromarray(noise[..., c]).resize((width, height), Image.BICUBIC))
                for c in range(3)
            ]
            total += np.stack(planes, -1) * step**0.9
        total = (total - total.mean()) / total.std() * 55 + 128
        total += rng.normal(size=total.shape).astype(np.float32) * 3
        picture = Image.fromarray(total.clip(0, 255).astype(np.uint8))
        picture.save(path + ".part", "JPEG", quality=88, subsampling="4:2:0")
        os.replace(path + ".part", path)


def prepare(path, draft):
    with Image.open(path) as picture:
        if draft:
            picture.draft("RGB", (2 * SIDE, 2 * SIDE))
        picture = picture.convert("RGB")
    scale = SIDE / max(picture.size)
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    square = Image.new("RGB", (SIDE, SIDE), (255, 255, 255))
    at = ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2)
    square.paste(picture.resize(size, Image.BICUBIC), at)
    pixels = np.asarray(square, dtype=np.float32) / np.float32(255)
    return ((pixels - MEAN) / STD).transpose(2, 0, 1)[None]


def run(folder, model, form):
    import onnxruntime as ort

    paths = sorted(os.path.join(folder, name) for name in os.listdir(folder))
    cores = len(os.sched_getaffinity(0))

    def session(threads):
        options = ort.SessionOptions()
        if threads:
            options.intra_op_num_threads = threads
            options.inter_op_num_threads = threads
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def embed(encoder, paths, draft):
        vectors, outside = [], 0.0
        for path in paths:
            start = time.thread_time()
            pixels = prepare(path, draft)
            outside += time.thread_time() - start
            vectors.append(encoder.run(["aligned"], {"pixels": pixels})[0][0])
        return vectors, outside

    if form == "full":
        vectors, outside = embed(session(0), paths, False)
    else:
        parts = [paths[i::cores] for i in range(cores)]
        with ThreadPoolExecutor(cores) as pool:
            done = list(pool.map(lambda part: embed(session(1), part, True), parts))
        vectors = [vector for part, _ in done for vector in part]
        outside = sum(seconds for _, seconds in done)
    np.save(folder.rstrip("/") + f"-{form}.npy", np.stack(vectors))
    print(json.dumps({"pictures": len(vectors), "outside": outside, "cpu": time.process_time()}))


def with_pillow(data, divisor):
    with Image.open(io.BytesIO(data)) as picture:
        picture.draft("RGB", tuple(side // divisor for side in picture.size))
        picture.load()
        return picture.size


def installed(divisor):
    """What decodes by the installed library's own interface, or nothing."""
    try:
        turbo = ctypes.CDLL("libturbojpeg.so.0")
    except OSError:
        return None
    turbo.tjInitDecompress.restype = ctypes.c_void_p
    handle = ctypes.c_void_p(turbo.tjInitDecompress())

    def decode(data, _):
        width, height, sampling = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        size = ctypes.c_ulong(len(data))
        three = (ctypes.byref(n) for n in (width, height, sampling))
        if turbo.tjDecompressHeader2(handle, data, size, *three):
            raise RuntimeError("no header")
        small = [-(-side.value // divisor) for side in (width, height)]
        pixels = ctypes.create_string_buffer(3 * small[0] * small[1])
        # Packed RGB, no row longer than it has to be, the slower and more exact transform.
        if turbo.tjDecompress2(handle, data, size, pixels, small[0], 0, small[1], 0, 4096):
            raise RuntimeError("not decoded")
        return tuple(small)

    return decode


def decoders(folder, divisor):
    files = []
    for name in sorted(os.listdir(folder))[:16]:
        with open(os.path.join(folder, name), "rb") as file:
            files.append(file.read())

    def time_of(decode):
        best = float("inf")
        for _ in range(3):
            start = time.thread_time()
            for data in files:
                decode(data, divisor)
            best = min(best, time.thread_time() - start)
        return best * 1e3 / len(files)

    bundled, own = features.version("libjpeg_turbo"), installed(divisor)
    if own is not None:
        assert own(files[0], divisor) == with_pillow(files[0], divisor)
    print(
        json.dumps(
            {
                "version": bundled,
                "pillow": time_of(with_pillow),
                "installed": own and time_of(own),
            }
        )
    )


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], *map(int, sys.argv[3:6]))
    elif sys.argv[1] == "decoders":
        decoders(sys.argv[2], int(sys.argv[3]))
    else:
        run(*sys.argv[2:5])
