"""Files in, examples out: `read_table` -> `Table` -> `dataset_from` -> `Dataset`, and `load_splits` for a recipe's data part.

Every value stays the text that stood in the file: labels such as `NA`, `None`, `01` and `True` are never guessed into something
else. What cannot be read with certainty is a `DataError` that names the file, the line and the fix; nothing is skipped silently.
"""
