"""File suffixes by which sources are told apart; compared in lower case."""

from __future__ import annotations

IMAGE_SUFFIXES = (
    ".avif",
    ".bmp",
    ".dib",
    ".jfif",
    ".jp2",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".pbm",
    ".pgm",
    ".png",
    ".pnm",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)
FLOAT_SUFFIXES = (".exr", ".hdr", ".pfm")  # always float: refused with advice
RAW_SUFFIXES = (".yuv", ".raw", ".rgb", ".bgr", ".nv12", ".i420", ".gray")
Y4M_SUFFIX = ".y4m"
