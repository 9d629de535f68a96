"""From a log to a model: the training layout, its readers and what is trained on them.

Nothing that serves or folds imports this: it may need torch and pyarrow.
"""

import os

# oneDNN keeps what it compiled for a product's shape, a thousand of a kind. Each step here has its own
# number of rows: nothing is found again, and a run grew by gigabytes. Read when torch first multiplies.
for _kept in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
    os.environ.setdefault(_kept, "1")
