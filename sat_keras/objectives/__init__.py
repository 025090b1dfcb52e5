"""What a captioner is trained for: the objectives that `Captioner.compile` takes.

    captioner.compile(optimizer, objective=CrossEntropy(label_smoothing=0.1))
    captioner.compile(optimizer, objective=Reinforce(samples=4))             # hard attention
    captioner.compile(optimizer, objective=SelfCritical(reward))             # a second phase

An import below makes an objective known to the command line, to settings and to saved captioners.
The command line reads their settings without TensorFlow, so each file imports Keras where it
computes.
"""

from sat_keras.objectives.cross_entropy import CrossEntropy
from sat_keras.objectives.objective import Objective
from sat_keras.objectives.reinforce import Reinforce
from sat_keras.objectives.self_critical import SelfCritical

__all__ = ["CrossEntropy", "Objective", "Reinforce", "SelfCritical"]
