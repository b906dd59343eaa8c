"""One module a job: what the engine does when it is asked to."""
