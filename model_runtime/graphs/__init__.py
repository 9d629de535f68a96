"""A bundle's models as ONNX graphs, for teams that serve with Triton or onnxruntime.

The engine itself needs none of this: it serves in numpy, and no process of it imports onnx.
"""
