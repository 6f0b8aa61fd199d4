"""Training: one loop over an objective's loss, made so that a run which was killed ends like one that never was.

    trainer.py     the loop: setup, step, evaluate, checkpoint, finish
    stepper.py     one optimizer step
    objective.py   what a task brings: rows, loss, figures
    classification.py   classes and soft labels; masked_words.py beside them
    kept_states.py states of rows under a body that does not train, read once
    stored_rows.py rows of a large file, tokenized once into a memory-mapped file
    generation.py  answers; text_metrics.py for BLEU and ROUGE
    plan.py        how many steps, evaluations and checkpoints a recipe comes to
    progress.py    what a run has to remember to go on
    batching.py    similar-length batches as a pure function of seed and epoch
    optim.py       AdamW groups, learning-rate curves, optimizer state as named tensors
    precision.py   autocast, gradient scaling and memory figures of a device
    metrics.py     accuracy, macro-F1, loss, per class, confusion
    telling_rows.py   the rows it is surest of, rightly and wrongly, and those that cost most
    events.py      the event log of a run folder
    checkpoint.py  checkpoints that are whole or not there
    folder.py      staging, fsync, rename, SHA-256 manifest
    faults.py      memory and disk that run out, as sentences
    processes.py   several processes that train one run: what they share and add up; nothing with one
    run_files.py   what a run keeps in its folder, and what its other processes see of it
    control.py     pause, resume and stop from other threads
    result.py      the object that a finished run answers with
"""
