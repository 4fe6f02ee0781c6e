"""`cascade-agent check`: what the agent may do in its site, found by looking, and by trying what no look can tell.

Whatever a try makes is named `cascade-check` and is gone when its check ends; a later check removes what a killed one
left. Each check returns findings and raises CascadeError only if its service does not answer.
"""
