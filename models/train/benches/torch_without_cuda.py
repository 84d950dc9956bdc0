"""Makes PyTorch's Linux wheel importable without the gigabytes of CUDA libraries.

    python torch_without_cuda.py

The wheel of the package index is built for CUDA and links against its libraries,
though work on the CPU calls none of them. Run by the Python that has the wheel, this
puts a library of each name beside the wheel's own, whose functions all answer with an
error. The CPU code is untouched. Needs `cc` and `nm`, as building Rust does.
"""
import pathlib
import subprocess
import sysconfig

# Name of the library: the version of its symbols, or what they begin with.
MISSING = {
    "libcublas.so.13": ("libcublas.so.13", ""),
    "libcublasLt.so.13": ("libcublasLt.so.13", ""),
    "libcudnn.so.9": ("libcudnn.so.9", ""),
    "libcufft.so.12": ("libcufft.so.12", ""),
    "libcusparse.so.12": ("libcusparse.so.12", ""),
    "libnvrtc.so.13": ("libnvrtc.so.13", ""),
    "libnvshmem_host.so.3": ("NVSHMEM", ""),
    "libcufile.so.0": ("", "cuFile"),
    "libcusparseLt.so.0": ("", "cusparseLt"),
    "libnccl.so.2": ("", "nccl"),
}


def main():
    packages = pathlib.Path(sysconfig.get_paths()["platlib"])
    # Where the wheel's libraries look; the small CUDA runtime lies there, too.
    folder = packages / "nvidia" / "cu13" / "lib"
    wanted = {}
    for library in (packages / "torch" / "lib").glob("*.so"):
        command = ["nm", "--dynamic", "--undefined-only", library]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for line in lines.splitlines():
            symbol, _, version = line.split()[-1].partition("@")
            wanted.setdefault(version, set()).add(symbol)
    source, script = folder / "none.c", folder / "none.map"
    for name, (version, prefix) in MISSING.items():
        symbols = sorted(s for s in wanted[version] if s.startswith(prefix))
        source.write_text("".join(f"long {s}(void) {{ return 1; }}\n" for s in symbols))
        script.write_text(f"{version} {{ global: *; }};")
        options = [f"-Wl,--version-script={script}"] if version else []
        options += ["-shared", "-fPIC", "-w", f"-Wl,-soname,{name}"]
        subprocess.run(["cc", *options, "-o", folder / name, source], check=True)


main()
