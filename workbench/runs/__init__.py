"""Runs: the store that remembers them, the service that trains them one after the other, and what is made of them.

store.py       the run folders are the truth; SQLite is an index over them that can be rebuilt
lock.py        one writer per data root
service.py     queue, worker thread, start, pause, resume, stop
files.py       a trained run over a file: evaluate and predict
export.py      a folder that runs without the workbench's page
"""
