"""How a file made by `calibration.int8` is read by backends that want unsigned activations.

Its activations are signed bytes with zero point 0, which is what TensorRT accepts and OpenVINO likes best. onnxruntime
on x86 has fast integer convolutions for unsigned ones only, and converts by itself only activations with a single
consumer: the face decoder then takes 17 ms where it could take 3. Adding 128 to every value and to the zero point
changes no result, and as all activations share one zero point it is a change of two bytes of the file.
"""

from __future__ import annotations

# Key in the metadata of a quantised file: sha256 of the float file it was made from.
MADE_FROM_KEY = "made_from_sha256"
_NAME = b"activation_zero_point"
# A TensorProto without dimensions, as protobuf writes it: field 2 data type, field 8 name, field 9 raw data.
_SIGNED = b"\x10\x03\x42" + bytes([len(_NAME)]) + _NAME + b"\x4a\x01\x00"
_UNSIGNED = b"\x10\x02\x42" + bytes([len(_NAME)]) + _NAME + b"\x4a\x01\x80"


def is_quantised(model: bytes) -> bool:
    """True when the ONNX file has activations in INT8."""
    return b"QuantizeLinear" in model


def with_unsigned_activations(model: bytes) -> bytes:
    """The same model with activations as unsigned bytes about 128; any other file comes back as it is."""
    return model.replace(_SIGNED, _UNSIGNED, 1) if model.count(_SIGNED) == 1 else model
