#!/usr/bin/env python3
"""Makes hazcat_core/src/domain/cuda/kernels.ptx of kernels.cu, with NVIDIA's run-time compiler.

    pip install nvidia-cuda-nvrtc-cu12==12.6.85 nvidia-cuda-nvcc-cu12==12.6.85   # the compiler; ptxas, for --assemble
    scripts/cuda_kernels.py [--check] [--assemble]

--check changes nothing, and fails where the file is not what would be made. --assemble also assembles the result for every
architecture that the installed ptxas knows of those below. No GPU is needed.
"""
import argparse
import ctypes
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "hazcat_core/src/domain/cuda"
# The oldest that anybody may have, so that every driver and device takes it.
ARCHITECTURE, PTX_VERSION = "compute_50", "6.0"
ARCHITECTURES = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_89", "sm_90"]
HEADER = "// Made of kernels.cu by scripts/cuda_kernels.py (NVRTC, {}, PTX {}); do not edit.\n"


def installed(pattern):
    """A file of a package of NVIDIA's, or of the system."""
    for folder in map(pathlib.Path, sys.path):
        found = sorted((folder / "nvidia").glob(pattern))
        if found:
            return str(found[0])
    return pathlib.Path(pattern).name


def compile_ptx(source):
    nvrtc = ctypes.CDLL(installed("cuda_nvrtc/lib/libnvrtc.so.12"))
    program = ctypes.c_void_p()

    def call(name, *arguments):
        result = getattr(nvrtc, name)(*arguments)
        if result != 0:
            size = ctypes.c_size_t()
            nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(max(size.value, 1))
            nvrtc.nvrtcGetProgramLog(program, log)
            sys.exit(f"{name}: error {result}\n{log.value.decode()}")

    call("nvrtcCreateProgram", ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None)
    options = (ctypes.c_char_p * 1)(f"--gpu-architecture={ARCHITECTURE}".encode())
    call("nvrtcCompileProgram", program, len(options), options)
    size = ctypes.c_size_t()
    call("nvrtcGetPTXSize", program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    call("nvrtcGetPTX", program, text)
    ptx = text.value.decode()
    ptx = re.sub(r"^//.*\n", "", ptx, flags=re.MULTILINE).lstrip("\n")
    return HEADER.format(ARCHITECTURE, PTX_VERSION) + "\n" + re.sub(
        r"^\.version .*$", f".version {PTX_VERSION}", ptx, flags=re.MULTILINE)


def assemble(ptx):
    ptxas = shutil.which("ptxas") or installed("cuda_nvcc/bin/ptxas")
    known = subprocess.run([ptxas, "--help"], capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "kernels.ptx"
        file.write_text(ptx)
        for architecture in [name for name in ARCHITECTURES if name in known]:
            subprocess.run([ptxas, "-arch", architecture, "-o", f"{folder}/cubin", str(file)], check=True)
            print(f"assembled for {architecture}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--assemble", action="store_true")
    options = parser.parse_args()
    ptx = compile_ptx((FOLDER / "kernels.cu").read_text())
    target = FOLDER / "kernels.ptx"
    if options.assemble:
        assemble(ptx)
    if not options.check:
        target.write_text(ptx)
    elif target.read_text() != ptx:
        sys.exit(f"{target} is not what kernels.cu makes")


if __name__ == "__main__":
    main()
