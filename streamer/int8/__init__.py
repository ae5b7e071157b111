"""INT8 models: inputs captured from the running pipeline, and what quantising costs and buys, task by task."""
