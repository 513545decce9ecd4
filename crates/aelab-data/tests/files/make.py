"""Writes the files of tests/numpy_files.rs with NumPy itself: python make.py (NumPy 2)."""

import numpy as np

count = np.arange(12)
arrays = {
    "bytes": count.astype(np.uint8).reshape(3, 2, 2),
    "bits": (count % 3 == 0).reshape(3, 4),
    "halves": (count / 8).astype(np.float16).reshape(3, 4),
    "doubles_fortran": np.asfortranarray((count / 8).reshape(3, 2, 2)),
    "floats_big_endian": (count / 8).astype(">f4").reshape(3, 4),
    "integers": (count - 6).astype(np.int64).reshape(3, 4),
    "labels": np.array([7, -1, 7], dtype=np.int32),
}
np.savez("stored.npz", **arrays)
np.savez_compressed("deflated.npz", **arrays)
np.save("doubles_fortran.npy", arrays["doubles_fortran"])
