"""The lessons, a folder each: exercises, quizzes, experiments and figures that belong to one lesson alone."""
