"""Runs: the store that remembers them, the service that trains them one after the other, and what is made of them.

store.py       the run folders are the truth; SQLite is an index over them that can be rebuilt
lock.py        one writer per data root
service.py     queue, worker thread, start, pause, resume, stop
job.py         a job at work: cells done once, progress, a control that reaches into every training
jobs/          what a run can do beside training one recipe: one file per kind
files.py       a trained run over a file: evaluate and predict
export.py      a folder that runs without the workbench's page
"""
