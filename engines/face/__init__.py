"""Face geometry and compositing: from dense landmarks to the decoder's inputs, and from its outputs to a
face.

Pure numpy and OpenCV. The run-time path and the training data are made by the same functions, so the decoder
meets in the field exactly the kind of input it was trained on.
"""
