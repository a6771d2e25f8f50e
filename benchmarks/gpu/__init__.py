"""What Fovea does on a GPU: prepared here as a kit, measured by a script that runs alone there.

`make gpu-kit` prepares it; the machine needs a GPU, Python 3.12 with PyTorch, and no internet.
"""
