#!/usr/bin/env python3
"""What one processor seals, opens and digests a second with each suite, against the same machine's
OpenSSL: AES-256-GCM, SHA-256 and SM3 as they are, SM4 in counter mode, because OpenSSL 3.0 has no
SM4-GCM; Qiao's has the tag in it, too.
"""

import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bed  # noqa: E402

PROGRAM = "build/release/cipher_speed"
PEERS = {("gm", "seal"): "sm4-ctr", ("gm", "open"): "sm4-ctr", ("gm", "digest"): "sm3",
         ("intl", "seal"): "aes-256-gcm", ("intl", "open"): "aes-256-gcm",
         ("intl", "digest"): "sha256"}


def own_speeds():
    """MB/s by suite, what, and bytes of a body."""
    told = subprocess.run([bed.ROOT / PROGRAM], text=True, capture_output=True, check=True).stdout
    return {(suite, what, int(size)): float(rate)
            for suite, what, size, rate in map(str.split, told.splitlines())}


def peer_speed(algorithm, size):
    told = subprocess.run(
        ["openssl", "speed", "-mr", "-seconds", "1", "-bytes", str(size), "-evp", algorithm],
        text=True, capture_output=True, check=True).stdout
    return float(re.search(r"^\+F:.*:([\d.]+)$", told, re.MULTILINE)[1]) / 1e6


def main():
    options = bed.parser(__doc__.split("\n", maxsplit=1)[0]).parse_args()
    subprocess.run([bed.ROOT / "dev", "build", "release", "cipher_speed"], check=True,
                   stdout=subprocess.DEVNULL)
    own, peers = [], []
    for number in range(options.runs):
        print(f"run {number + 1} of {options.runs}", file=sys.stderr)
        own.append(own_speeds())
        peers.append({(name, size): peer_speed(name, size)
                      for name in set(PEERS.values()) for size in {key[2] for key in own[0]}})
    openssl = subprocess.run(["openssl", "version"], text=True, capture_output=True).stdout.strip()
    lines = [*bed.machine_lines(Path(__file__).stem), f"peer     {openssl}, openssl speed -evp", "",
             "MB/s of one processor",
             f"  {'suite, what':<14} {'bytes':<8} {'qiao':<26} {'openssl':<40} ratio"]
    figures = {}
    for suite, what, size in own[0]:
        name = PEERS[suite, what]
        mine = [run[suite, what, size] for run in own]
        others = [run[name, size] for run in peers]
        ratios = [a / b for a, b in zip(mine, others)]
        figures[f"cipher.{suite}.{what}.{size}"] = ratios
        lines.append(
            f"  {suite + ' ' + what:<14} {size:<8} {bed.spread(mine, '{:,.0f}'):<26} "
            f"{name + ' ' + bed.spread(others, '{:,.0f}'):<40} "
            f"{bed.spread(ratios)}")
    bed.publish("cipher", options, lines, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
