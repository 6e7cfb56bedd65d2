"""The notebooks on disk: found, copied for a learner, read, run, and how far a learner has come."""

from tlcourse.course.copies import copy_course
from tlcourse.course.find import course_root, exercise_notebooks, select_lessons
