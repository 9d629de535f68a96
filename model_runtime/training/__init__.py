"""From a log to a model: the training layout, its readers and what is trained on them.

Nothing that serves or folds imports this: it may need torch and pyarrow.
"""
