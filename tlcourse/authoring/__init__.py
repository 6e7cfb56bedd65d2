"""What an author runs: student notebooks and stamps, claims over seeds, tables of experiments, bundled weights."""
