"""Language models: finding, loading, describing them, and asking them for the words at a blank.

    loading.py       `embedded:NAME`, a local folder or a hub id -> LoadedModel (model, tokenizer, family, kind, device)
    imports.py       transformers imported by one thread, awaited by the others
    folder.py        what a model folder must hold, its kind, its fingerprint
    hub.py           files from the hub or a mirror, with a sentence for every way it fails
    pool.py          loaded models, shared by the page, the runs and the predictors
    families/        what the parts of an architecture are called, one file per family, one decorator each
    cloze.py         logits of label words at mask positions, and nothing that nobody asked for
    packing.py       prompts of a causal model that begin alike, read once
    quantization.py  int8, nf4 and fp4 weights through bitsandbytes, on GPU and CPU
    card.py          what a model is, read from its configuration alone
    memory.py        bytes of weights, gradients, optimizer and activations, before anything is loaded

Nothing here runs code that came with a model, and weights are read from safetensors only.
"""
