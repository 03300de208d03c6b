"""A worker of the thumbnail benchmark: pyvips or Pillow, as argument 1 says.

Lines in: path TAB edge TAB repetitions TAB where to write the thumbnail, or "-". Lines out: CPU nanoseconds of each
repetition, then after "|" the resident memory in KiB before and at its peak.
"""

import io
import os
import sys
import time

if sys.argv[1] == "pyvips":
    os.environ["VIPS_CONCURRENCY"] = "1"
    import pyvips

    pyvips.cache_set_max(0)
    VERSION = f"pyvips {pyvips.__version__}, libvips {'.'.join(str(pyvips.version(part)) for part in range(3))}"

    def thumbnail(source, edge):
        image = pyvips.Image.thumbnail_buffer(source, edge, height=edge, size="down")
        return image.jpegsave_buffer(Q=80)
else:
    import PIL
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    VERSION = f"Pillow {PIL.__version__}"

    def thumbnail(source, edge):
        image = Image.open(io.BytesIO(source))
        image.thumbnail((edge, edge), Image.LANCZOS)
        if image.mode != "RGB":
            image = image.convert("RGB")
        out = io.BytesIO()
        image.save(out, "JPEG", quality=80)
        return out.getvalue()


def memory(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name))


print(VERSION, flush=True)
for line in sys.stdin:
    path, edge, repetitions, out = line.rstrip("\n").split("\t")
    before = memory("VmRSS")
    with open(path, "rb") as file:
        source = file.read()
    spent = []
    for _ in range(int(repetitions)):
        began = time.process_time_ns()
        made = thumbnail(source, int(edge))
        spent.append(time.process_time_ns() - began)
    if out != "-":
        with open(out, "wb") as file:
            file.write(made)
    print(*spent, "|", before, memory("VmHWM"), flush=True)
