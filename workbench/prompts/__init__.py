"""From an example's fields to token ids and back to classes.

    template.py       the notation a person types -> Template, a row of pieces
    tokenization.py   text -> ids, with special tokens in a text kept as text
    soft.py           which rows of a trained table the soft tokens of a run's templates read
    encoding.py       Template + fields -> Encoding: ids, mask positions, coloured spans; cuts only what may be cut
    verbalizers/      what a model says -> class scores, one file per kind: words, trained vectors, prototypes, a head
    filters.py        what a template may do to a field's text
    formats/          templates and label words of other tools, read and written
    library.py        patterns per task from presets/library
    cards.py          templates that are being compared, with their scores
"""
