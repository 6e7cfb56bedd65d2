"""Grade submissions: the judge draws inputs and compares, a sandboxed child runs the student's code."""
