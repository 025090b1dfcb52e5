"""Runs: trainings in folders.

    settings.py     what decides a run's result, nested as it belongs
    phases.py       runs in phases: recipes, and settings that override theirs
    paths.py        the names of a folder's files
    folder.py       reads and writes these files
    training.py     one training, and trainings in phases
    callbacks.py    what happens between steps and epochs
    sources.py      captioners out of run folders, presets and .tflite files

The first three need no TensorFlow, and sources.py none for a `.tflite` file.
"""
