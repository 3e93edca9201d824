"""Makes the wire types from the contract when the package is built; they are not kept in the source tree."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent


def contract() -> Path:
    """The folder of the .proto files: the source tree's, or the copy that a source distribution brings."""
    for folder in (HERE / "proto", HERE.parent.parent / "proto"):
        if (folder / "xinqiao" / "v1").is_dir():
            return folder
    raise SystemExit("the contract (proto/xinqiao/v1) is not beside this package")


def make_wire_types(out: Path) -> None:
    """Writes ``xinqiao/v1/*_pb2.py`` with their types and services below ``out``."""
    from grpc_tools import protoc  # here, since only building needs it

    folder = contract()
    files = sorted(str(file) for file in (folder / "xinqiao" / "v1").glob("*.proto"))
    arguments = ["protoc", f"-I{folder}", f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}"]
    if protoc.main(arguments + files) != 0:
        raise SystemExit("protoc could not read the contract")
    (out / "xinqiao" / "v1" / "__init__.py").write_text('"""Wire types of xinqiao.v1, made from the contract."""\n')


class BuildWithWireTypes(build_py):
    def run(self) -> None:
        super().run()
        make_wire_types(Path(self.build_lib))


class SdistWithContract(sdist):
    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        shutil.copytree(contract(), Path(base_dir) / "proto", ignore=lambda _, names: {"src", "build.rs", "Cargo.toml"} & set(names))


setup(cmdclass={"build_py": BuildWithWireTypes, "sdist": SdistWithContract})
