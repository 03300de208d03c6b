"""Makes the benchmark's pictures of photographs: pictures.py PHOTOGRAPHS FOLDER.

The photographs are those of Debian's package lomiri-wallpapers-16.04: "seeding" by Clements Engelhardt (CC0), "picos de
europa" and "life" by Aitzol Berasategi (CC BY 4.0). Nothing of them is kept in the repository.
"""

import os
import sys

import pyvips

folder = sys.argv[1]
out = sys.argv[2]
PHOTOGRAPHS = {
    "seed": "seeding_by_Clements_Engelhardt.jpg",
    "picos": "picosdeeuropa_by_Aitzol_Berasategi.jpg",
    "life": "life_by_Aitzol_Berasategi.jpg",
}


def cut(name, width, height):
    image = pyvips.Image.new_from_file(os.path.join(folder, PHOTOGRAPHS[name])).colourspace("srgb").copy_memory()
    across = min(image.width, int(image.height * width / height))
    down = min(image.height, int(image.width * height / width))
    image = image.crop((image.width - across) // 2, (image.height - down) // 2, across, down)
    image = image.resize(width / image.width, vscale=height / image.height, kernel="lanczos3")
    return image.embed(0, 0, width, height, extend="copy").cast("uchar").copy_memory()


def target(name):
    return os.path.join(out, name)


for name in ("picos", "seed"):
    twelve = cut(name, 4000, 3000)
    twelve.jpegsave(target(f"12mp_{name}.jpg"), Q=85, strip=True)
    if name == "picos":
        twelve.jpegsave(target("12mp_progressive.jpg"), Q=85, strip=True, interlace=True)
two = cut("life", 1632, 1224)
two.jpegsave(target("2mp_life.jpg"), Q=85, strip=True)
two = cut("picos", 1632, 1224)
two.pngsave(target("2mp.png"), compression=6, strip=True)
two.webpsave(target("2mp.webp"), Q=80, strip=True)
cut("life", 640, 427).jpegsave(target("small_life.jpg"), Q=85, strip=True)
tiles = [cut(name, 3867, 2900) for name in ("picos", "seed", "life", "picos", "seed", "life", "picos", "seed", "life")]
mosaic = pyvips.Image.arrayjoin(tiles, across=3).crop(0, 0, 11600, 8700)
mosaic.jpegsave(target("100mp.jpg"), Q=85, strip=True)
