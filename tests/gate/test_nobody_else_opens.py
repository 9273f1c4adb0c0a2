"""Foreign files are opened by the gate alone; whoever else opens files says what of its own they are."""

import ast
import json
from pathlib import Path

import medbench
from medbench.core.files import write_text

PACKAGE = Path(medbench.__file__).parent
GATE = {
    "io/gate/source.py",
    "io/gate/zipped.py",
    "io/gate/hdf5_arrays.py",
    "io/gate/arrays.py",
    "io/gate/tiff_pixels.py",
    "io/gate/dicom.py",
}

# calls that open or decode a file, by their last names
OPENERS = {
    "open", "read_bytes", "read_text", "fromfile", "memmap", "open_memmap", "imread", "imreadmulti",
    "VideoCapture", "ReadImage", "ImageFileReader", "File", "TiffFile", "TiffSlide", "ZipFile", "TarFile",
    "loadtxt", "genfromtxt", "read_csv", "safe_open", "load_file", "dcmread",
}  # fmt: skip
LOADERS = {
    ("np", "load"), ("numpy", "load"), ("torch", "load"), ("nibabel", "load"), ("nib", "load"),
    ("jit", "load"), ("pickle", "load"), ("json", "load"), ("tomllib", "load"), ("yaml", "safe_load"),
}  # fmt: skip
# files inside io/ that are ours: streams that the gate opened, files that are written, caches of our own
OURS = {
    "io/caches.py": 4,  # writing and checking what it keeps itself
    "io/hdf5.py": 2,  # np.savez and h5py, to write
    "io/hdf5_groups.py": 2,  # h5py over the stream of an admitted file, and to write
    "io/video_stream.py": 2,  # PyAV over the stream of an admitted file, and to write
    "io/video.py": 1,  # OpenCV by the handle of an admitted file
    "io/slides.py": 3,  # tifffile, zarr and TiffSlide over the stream of an admitted file
}
LIST = Path(__file__).parent / "own_files.json"
OWN_FILES = json.loads(LIST.read_text())  # calls, and what they open


def calls(path):
    """Calls in a module that open or decode a file."""
    count = 0
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name):
            count += node.func.id in OPENERS
        elif isinstance(node.func, ast.Attribute):
            owner = node.func.value
            name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            count += node.func.attr in OPENERS or (name, node.func.attr) in LOADERS
    return count


def counted():
    return {
        path.relative_to(PACKAGE).as_posix(): count
        for path in sorted(PACKAGE.rglob("*.py"))
        if (count := calls(path))
    }


def test_nothing_in_io_opens_foreign_files_but_the_gate():
    inside = {name: count for name, count in counted().items() if name.startswith("io/") and name not in GATE}
    assert inside == OURS


def test_whoever_else_opens_files_opens_its_own(say):
    outside = {name: count for name, count in counted().items() if not name.startswith("io/")}
    listed = {name: count for name, (count, _) in OWN_FILES.items()}
    new = {name: count for name, count in outside.items() if count > listed.get(name, 0)}
    assert not new, f"read foreign files through medbench.io, or say what of its own it opens: {new}"
    gone = {name: count for name, count in listed.items() if count > outside.get(name, 0)}
    assert not gone, f"take these out of the list: {gone}"
    assert all(what for _, what in OWN_FILES.values())
    say(f"{len(outside)} modules outside io/ open {sum(outside.values())} files of their own")


def write():
    """Write the counts anew, e.g. after modules were moved; what a new module opens is to be filled in."""
    known = {name: what for name, (_, what) in OWN_FILES.items()}
    modules = {name: count for name, count in counted().items() if not name.startswith("io/")}
    lines = [f" {json.dumps(name)}: {json.dumps([n, known.get(name, '')])}" for name, n in modules.items()]
    write_text(LIST, "{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    write()
